/**
 * Consumer groups in the catalog of a Redis store: who works on which partition, and what is committed. How partitions are shared out is the
 * server's, library/groups.lua.ts; what a member does, groups-membership.ts.
 *
 * Members hear of changes by the sharded channels `{<prefix>}:groups` and `{<prefix>}:topics`; a message that is lost costs the time to their next
 * sign of life. A commit is one call, acknowledged as the server keeps it: a failover may bring back an older one, and records are delivered again.
 */
import type { CommittedOffset, GroupStore, Membership, OnAssignments } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import { RedisMembership } from './groups-membership.ts';
import type { SeenTerms } from './seen-terms.ts';
import type { Shard } from './shard.ts';

export interface RedisGroupsOptions {
  readonly catalog: Shard;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly seenTerms: SeenTerms;
  /** The store's term under which this process works: what was claimed when it was opened, or what it has claimed. */
  readonly ownTerm: () => number;
  /**
   * Who joins: a process of the same name that comes later follows this one at once, without waiting for its session to end. So the caller vouches
   * that the earlier process is gone. Absent: nobody follows.
   */
  readonly memberName?: string;
  /** A member that is not heard of for so long has left. Default 4000. */
  readonly sessionMs?: number;
}

const SESSION_MS = 4000;
const MEMBER_BYTES = 8;

export class RedisGroups implements GroupStore {
  readonly #options: RedisGroupsOptions;
  readonly #name: string;
  readonly #members = new Set<RedisMembership>();
  #listening: (() => void)[] = [];
  #isClosed = false;
  #commitCount = 0;

  constructor(options: RedisGroupsOptions) {
    this.#options = options;
    this.#name = options.memberName ?? options.random.id(MEMBER_BYTES);
  }

  async join(group: string, topic: string, onChange: OnAssignments): Promise<Membership> {
    this.#requireOpen();
    this.#listen();
    const key = `${topic}:${group}`;
    const beside = [...this.#members].filter((member) => member.key === key).length;
    const membership = new RedisMembership({
      ...this.#options,
      sessionMs: this.#options.sessionMs ?? SESSION_MS,
      ...{ group, topic, onChange },
      id: this.#options.random.id(MEMBER_BYTES),
      name: beside === 0 ? this.#name : `${this.#name}#${this.#options.random.id(MEMBER_BYTES)}`,
      onLeft: () => void this.#members.delete(membership),
    });
    // From here on, so that what changes between the answer and the next line is heard.
    this.#members.add(membership);
    try {
      await membership.join();
    } catch (error) {
      // It may have been executed.
      membership.leave().catch(() => {});
      throw error;
    }
    if (this.#isClosed) await membership.leave();
    return membership;
  }

  async commit(group: string, topic: string, offset: CommittedOffset, term: number): Promise<void> {
    this.#requireOpen();
    const { catalog } = this.#options;
    const keys = [
      catalog.key(`group:${topic}:${group}`),
      catalog.key(`commits:${topic}:${group}`),
      catalog.key('claims'),
    ];
    const { partition, offset: next, epoch } = offset;
    try {
      const number = String(++this.#commitCount);
      await catalog.call('commit', keys, [String(term), topic, String(partition), String(next), epoch, number]);
    } catch (error) {
      // If the partition is still ours, it gets a term with which we can go on.
      if (asTandemError(error).code === 'TANDEM_TERM_FENCED') this.#doubt(`${topic}:${group}`);
      throw error;
    }
  }

  async committed(group: string, topic: string): Promise<readonly CommittedOffset[]> {
    this.#requireOpen();
    const { catalog } = this.#options;
    const [, ...fields] = await catalog.call('committed', [catalog.key(`commits:${topic}:${group}`)], []);
    const rows: CommittedOffset[] = [];
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const [offset = '', epoch = ''] = String(fields[i + 1]).split(' ');
      rows.push({ partition: Number(fields[i]), offset: Number(offset), epoch });
    }
    return rows.sort((a, b) => a.partition - b.partition);
  }

  /** This process works under another term of the store now. */
  termChanged(): void {
    for (const member of this.#members) member.wake();
  }

  /** Ends all memberships; others have their partitions when it resolves, if the server answers in time. Never rejects. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stop of this.#listening) stop();
    await Promise.allSettled([...this.#members].map((member) => member.leave()));
  }

  #listen(): void {
    if (this.#listening.length > 0) return;
    const { catalog } = this.#options;
    const wake = (isMeant: (member: RedisMembership) => boolean): void => {
      for (const member of this.#members) if (isMeant(member)) member.wake();
    };
    this.#listening = [
      catalog.subscribe('groups', (message) => {
        const key = message?.toString();
        wake((member) => key === undefined || member.key === key);
      }),
      catalog.subscribe('topics', (message) => {
        const topic = message?.toString();
        wake((member) => topic === undefined || member.topic === topic);
      }),
      catalog.onReconnected(() => wake(() => true)),
    ];
  }

  #doubt(key: string): void {
    for (const member of this.#members) if (member.key === key) member.doubt();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new TandemError('TANDEM_DRAINING', { detail: 'the engine is closed' });
  }
}
