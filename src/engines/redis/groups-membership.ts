/**
 * One membership of a consumer group, as the member sees it. Its one call, `sync_group` (library/groups.lua.ts), is its sign of life and tells
 * it what it has; it is made six times per session, and at once when the group says that something has changed.
 *
 * - What it has is its own until the deadline: monotonic time before the last confirmed call was SENT + session - margin. At the deadline it has nothing
 *   and says so, before the server gives it to others. A late, lost or failed answer extends nothing.
 * - A partition that is to move is taken out of the assignments first; it is given back when `onChange` has settled, or after a session.
 * - A server that does not know the member any more (all was lost) lets it in again, under new terms; after a failover it is asked what it has.
 */
import type { Assignment, Membership, OnAssignments } from '../../core/contracts/engine.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { inTime } from '../../core/in-time.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import type { SeenTerms } from './seen-terms.ts';
import { type Answer, type Shard, statusOf } from './shard.ts';

export interface MembershipOptions {
  readonly catalog: Shard;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly seenTerms: SeenTerms;
  /** The store's term under which this process works. */
  readonly ownTerm: () => number;
  readonly sessionMs: number;
  readonly topic: string;
  readonly group: string;
  /** Random. */
  readonly id: string;
  /** Whoever joins under the same name follows the member at once. */
  readonly name: string;
  readonly onChange: OnAssignments;
  readonly onLeft: () => void;
}

/** So often that a failover by Sentinel, 2 to 3 s, begins and ends within a session of 4 s that was just prolonged. */
const SYNCS_PER_SESSION = 6;
/** After a failure. */
const RETRIES_PER_SESSION = 10;
const MARGIN_PART = 0.1;
const LEAVE_MS_MAX = 1000;

interface Answered {
  /** As the server numbers them. */
  readonly version: string;
  readonly history: string;
}

export class RedisMembership implements Membership {
  readonly #options: MembershipOptions;
  #assignments: readonly Assignment[] = [];
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #known: Answered = { version: '', history: '' };
  /** By `<partition>:<term>`: taken out of the assignments, and what was done under it may not have ended. */
  readonly #stopping = new Map<string, Promise<void>>();
  /** As above, and it has ended. */
  #stopped: string[] = [];
  #syncing: Promise<void> | undefined;
  #isDue = false;
  #timer: Timer | undefined;
  #deadlineTimer: Timer | undefined;
  #isJoined = false;
  #leaving: Promise<void> | undefined;
  /** Of the last call; undefined: it succeeded. */
  #trouble: string | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  get assignments(): readonly Assignment[] {
    return this.#options.clock.monotonicMs() < this.#deadlineMs ? this.#assignments : [];
  }

  get topic(): string {
    return this.#options.topic;
  }

  /** What the group's messages carry. */
  get key(): string {
    return `${this.#options.topic}:${this.#options.group}`;
  }

  /** Errors: TANDEM_TOPIC_UNKNOWN, TANDEM_TERM_FENCED, TANDEM_STORE_UNREACHABLE, TANDEM_STORE_FAILED. */
  async join(): Promise<void> {
    const status = await this.#exchange(true);
    if (status === 'UNKNOWN') throw new TandemError('TANDEM_TOPIC_UNKNOWN', { detail: this.#options.topic });
    this.#isJoined = true;
    if (this.#isDue) this.wake();
    else this.#syncLater(this.#paceMs);
  }

  /** Something may have changed: asks the server now, or once more when it answers. */
  wake(): void {
    this.#isDue = true;
    if (this.#leaving !== undefined || !this.#isJoined) return;
    this.#syncing ??= this.#syncWhileDue().finally(() => {
      this.#syncing = undefined;
    });
  }

  /** As `wake`; what is known does not count. */
  doubt(): void {
    this.#known = { ...this.#known, version: '' };
    this.wake();
  }

  /** Errors: TANDEM_STORE_UNREACHABLE, TANDEM_STORE_FAILED: others have to wait for the end of the session. */
  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  // -------------------------------------------------------------- rounds

  get #paceMs(): number {
    return this.#options.sessionMs / SYNCS_PER_SESSION;
  }

  async #leave(): Promise<void> {
    const { catalog, clock, topic, group, id, onLeft } = this.#options;
    this.#timer?.cancel();
    this.#deadlineTimer?.cancel();
    this.#assignments = [];
    onLeft();
    const leaving = (this.#syncing ?? Promise.resolve()).then(() =>
      catalog.call('leave_group', this.#keys, [topic, id]),
    );
    if ((await inTime(clock, leaving, LEAVE_MS_MAX)) !== undefined) return;
    throw new TandemError('TANDEM_STORE_UNREACHABLE', { detail: `the group ${group} was not left in time` });
  }

  #syncLater(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#leaving === undefined) this.#timer = this.#options.clock.after(delayMs, () => this.wake());
  }

  async #syncWhileDue(): Promise<void> {
    const { sessionMs } = this.#options;
    while (this.#isDue && this.#leaving === undefined) {
      this.#isDue = false;
      this.#syncLater(this.#paceMs);
      try {
        const status = await this.#exchange(false);
        this.#note(status === 'UNKNOWN' || status === 'SUPERSEDED' ? status : undefined);
      } catch (thrown) {
        const error = asTandemError(thrown);
        this.#note(error.code);
        if (error.code === 'TANDEM_TERM_FENCED') this.#lose();
        this.#syncLater(sessionMs / RETRIES_PER_SESSION);
      }
    }
  }

  /** Says it once. */
  #note(trouble: string | undefined): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    const { logger, group, topic } = this.#options;
    if (trouble === undefined) logger.info('group_sync_resumed', { group, topic });
    else logger.warn('group_sync_failed', { group, topic, reason: trouble });
  }

  /** One call, two if the server asks what this member has. */
  async #exchange(isJoin: boolean): Promise<string> {
    const { clock } = this.#options;
    for (let isReport = false; ; isReport = true) {
      const sentMs = clock.monotonicMs();
      const given = this.#stopped;
      const answer = await this.#call(isJoin, given, isReport ? this.#held() : '-');
      const status = statusOf(answer);
      if (status === 'REPORT') continue;
      if (status === 'SUPERSEDED') this.#lose();
      if (status === 'SAME') this.#extend(sentMs);
      if (status === 'OK') {
        this.#stopped = this.#stopped.filter((place) => !given.includes(place));
        this.#extend(sentMs);
        this.#take(answer);
      }
      return status;
    }
  }

  #call(isJoin: boolean, given: readonly string[], held: string): Promise<Answer> {
    const { catalog, topic, id, name, sessionMs, seenTerms, ownTerm } = this.#options;
    const { version, history } = this.#known;
    return catalog.call('sync_group', this.#keys, [
      ...[String(ownTerm()), topic, id, name, String(Math.round(sessionMs)), isJoin ? '1' : '0'],
      ...[String(seenTerms.highest), history, version, given.join(' '), held],
    ]);
  }

  get #keys(): string[] {
    const { catalog } = this.#options;
    const names = [`group:${this.key}`, `members:${this.key}`, 'topics', 'claims', 'term'];
    return names.map((name) => catalog.key(name));
  }

  // -------------------------------------------------------------- what it has

  /** All that others must not have yet: `<partition>:<term>:<o, or r: it is being given back>`. */
  #held(): string {
    const own = this.assignments.map((assignment) => `${placeOf(assignment)}:o`);
    const ending = [...this.#stopping.keys(), ...this.#stopped].map((place) => `${place}:r`);
    return [...own, ...ending].join(' ');
  }

  #extend(sentMs: number): void {
    const { clock, sessionMs } = this.#options;
    this.#deadlineMs = Math.max(this.#deadlineMs, sentMs + sessionMs * (1 - MARGIN_PART));
    this.#deadlineTimer?.cancel();
    if (this.#leaving !== undefined) return;
    this.#deadlineTimer = clock.after(Math.max(0, this.#deadlineMs - clock.monotonicMs()), () => this.#lose());
  }

  /** It has nothing any more, as far as it knows. What it has after all it learns from the next answer. */
  #lose(): void {
    this.#known = { ...this.#known, version: '' };
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    this.#deadlineTimer?.cancel();
    if (this.#assignments.length > 0 && this.#leaving === undefined) this.#put([]);
  }

  #take(answer: Answer): void {
    const [, version, history, waitMs] = answer;
    this.#known = { version: String(version), history: String(history) };
    if (Number(waitMs) > 0) this.#syncLater(Math.min(this.#paceMs, Number(waitMs) + 1));
    if (this.#leaving !== undefined) return;
    // An answer that came so late that its session may be over: the next one counts.
    if (this.#options.clock.monotonicMs() >= this.#deadlineMs) {
      this.#lose();
      return;
    }
    const assigned: Assignment[] = [];
    const wanted: Assignment[] = [];
    for (let i = 4; i + 2 < answer.length; i += 3) {
      const assignment = { partition: Number(answer[i]), term: Number(answer[i + 1]) };
      this.#options.seenTerms.saw(assignment.term);
      (Number(answer[i + 2]) === 1 ? wanted : assigned).push(assignment);
    }
    const before = new Set(this.#assignments.map(placeOf));
    const isSame = before.size === assigned.length && assigned.every((assignment) => before.has(placeOf(assignment)));
    if (!isSame) this.#put(assigned);
    for (const assignment of wanted) this.#giveBackUnlessStopping(placeOf(assignment));
  }

  #put(assignments: readonly Assignment[]): void {
    const kept = new Set(assignments.map(placeOf));
    const removed = this.#assignments.map(placeOf).filter((place) => !kept.has(place));
    this.#assignments = assignments;
    const stopped = this.#told(assignments);
    for (const place of removed) this.#stopping.set(place, stopped);
    void stopped.then(() => {
      // It may have been assigned and taken away again meanwhile.
      for (const place of removed)
        if (this.#stopping.get(place) === stopped) {
          this.#stopping.delete(place);
          this.#stopped.push(place);
        }
      if (removed.length > 0) this.wake();
    });
  }

  #giveBackUnlessStopping(place: string): void {
    if (this.#stopping.has(place) || this.#stopped.includes(place)) return;
    this.#stopped.push(place);
    this.wake();
  }

  /** Resolves when the member has stopped what it has to, or after a session. */
  async #told(assignments: readonly Assignment[]): Promise<void> {
    const { clock, sessionMs, onChange, logger, group, topic } = this.#options;
    if (!this.#isJoined) return;
    try {
      const settled = onChange(assignments);
      if (settled !== undefined) await inTime(clock, settled, sessionMs);
    } catch (error) {
      logger.error('group_member_failed', { group, topic, reason: asTandemError(error).message });
    }
  }
}

const placeOf = ({ partition, term }: Assignment): string => `${partition}:${term}`;
