/**
 * Members of a consumer group, a Redis server and one time, which passes only when it is told to: the real client code and the real functions of the
 * library, under faults. Each member's clock has a rate of its own, each server's another time of day.
 *
 * A member works on what it was told to have. When it is to stop, that takes a while; when it has lost everything it stops at once.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Assignment, Membership } from '../../core/contracts/engine.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import type { Clock } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import {
  type CatalogServer,
  type CatalogShard,
  NOW_KEY,
  type Snapshot,
  startCatalogServer,
} from './catalog.fixture.ts';
import { RedisGroups } from './groups.ts';
import { SeenTerms } from './seen-terms.ts';

export const SESSION_MS = 4000;
const TOPIC = 't';
const RATE_ERROR = 0.005;
const SKEW_MS = 3000;
/** It gives up by then. */
const LEAVE_MS = 1100;
const STOP_MS_MAX = 300;
const EPOCH_MS = 1_700_000_000_000;

interface WorldTimer {
  readonly atMs: number;
  readonly callback: () => void;
}

export interface Member {
  readonly name: string;
  readonly shard: CatalogShard;
  readonly groups: RedisGroups;
  membership: Membership | undefined;
  /** By partition: the term under which it works on it. */
  readonly work: Map<number, number>;
  changes: number;
  isAlive: boolean;
}

export class GroupsWorld {
  readonly members: Member[] = [];
  readonly server: CatalogServer;
  readonly #random: Random;
  #nowMs = 0;
  #skewMs = 0;
  #timers: WorldTimer[] = [];
  #names = 0;
  #partitions = 0;
  /** The newest term of each partition that somebody worked under, and an older one of somebody else's. */
  readonly #terms = new Map<number, { now: number; before: number }>();
  #calmSinceMs = 0;

  private constructor(server: CatalogServer, random: Random) {
    this.server = server;
    this.#random = random;
  }

  static async start(t: TestContext, random: Random, partitions: number): Promise<GroupsWorld> {
    const world = new GroupsWorld(await startCatalogServer(t, true), random);
    await world.#showTime();
    await world.grow(partitions);
    return world;
  }

  get live(): Member[] {
    return this.members.filter(({ isAlive }) => isAlive);
  }

  get partitions(): number {
    return this.#partitions;
  }

  async grow(partitions: number): Promise<void> {
    this.#partitions = Math.max(this.#partitions, partitions);
    await this.server.makeTopic(TOPIC, this.#partitions);
    await this.#settle();
  }

  /** A new process, or one in the place of another that is dead. */
  async join(name: string = `m${this.#names++}`): Promise<void> {
    const member = this.#make(name);
    this.members.push(member);
    await this.#joinAgain(member);
    await this.#settle();
  }

  async leave(member: Member): Promise<void> {
    member.work.clear();
    const closing = member.groups.close();
    await this.pass(LEAVE_MS);
    member.isAlive = false;
    await closing;
  }

  crash(member: Member): void {
    member.isAlive = false;
    member.work.clear();
    member.shard.fault = 'requests';
  }

  /** The server dies; after a while another one counts, which has what the snapshot has. */
  async failover(snapshot: Snapshot, gapMs: number): Promise<void> {
    const faults = this.live.map(({ shard }) => [shard, shard.fault] as const);
    for (const { shard } of this.live) shard.fault = 'requests';
    await this.pass(gapMs);
    this.#skewMs = (this.#random.fraction() - 0.5) * SKEW_MS;
    await this.#showTime();
    for (const [shard, fault] of faults) shard.fault = fault;
    await this.server.failover(snapshot);
    this.#calmSinceMs = this.#nowMs;
    await this.grow(this.#partitions);
  }

  async pass(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const timer = this.#timers[0];
      if (timer === undefined || timer.atMs > endMs) break;
      this.#timers.shift();
      await this.#moveTo(Math.max(timer.atMs, this.#nowMs));
      timer.callback();
      await this.#settle();
    }
    await this.#moveTo(endMs);
    await this.#settle();
  }

  // -------------------------------------------------------------- what must hold

  /** No partition is worked on twice, whatever has happened. */
  checkOwners(): void {
    const owners = new Map<number, string>();
    for (const { name, work, membership } of this.live) {
      for (const { partition, term } of membership?.assignments ?? [])
        assert.equal(work.get(partition), term, `${name} was told of ${partition}`);
      for (const [partition, term] of work) {
        assert.equal(
          owners.get(partition),
          undefined,
          `${partition} is worked on by ${owners.get(partition)} and ${name}`,
        );
        owners.set(partition, name);
        const known = this.#terms.get(partition) ?? { now: 0, before: 0 };
        if (term > known.now) this.#terms.set(partition, { now: term, before: known.now });
      }
    }
  }

  /** Whoever worked on a partition before may not commit any more. Just after a failover the server may not know yet. */
  async checkFencing(): Promise<void> {
    if (this.#nowMs - this.#calmSinceMs < 2 * SESSION_MS) return;
    const shard = this.server.open();
    for (const [partition, { now, before }] of this.#terms) {
      const keys = ['group:t:g', 'commits:t:g', 'claims'].map((name) => shard.key(name));
      // What nobody works on any more may have been lost with the last failover.
      if (before === 0 || !this.live.some(({ work }) => work.get(partition) === now)) continue;
      const late = shard.call('commit', keys, [String(before), TOPIC, String(partition), '1', 'e']);
      await assert.rejects(late, { code: 'TANDEM_TERM_FENCED' });
    }
  }

  /** All is assigned, evenly, and nothing changes any more. */
  async checkCalm(): Promise<void> {
    const loads = this.live.map(({ work }) => work.size);
    assert.equal(
      loads.reduce((sum, load) => sum + load, 0),
      this.#partitions,
      `all partitions are assigned: ${loads}`,
    );
    assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `evenly: ${loads}`);
    const changes = this.live.map((member) => member.changes);
    await this.pass(2 * SESSION_MS);
    assert.deepEqual(
      this.live.map((member) => member.changes),
      changes,
      'nothing changes by itself',
    );
  }

  // -------------------------------------------------------------- how it goes

  #make(name: string): Member {
    const shard = this.server.open();
    const clock = this.#clock(1 + (this.#random.fraction() * 2 - 1) * RATE_ERROR, () => member.isAlive);
    const groups = new RedisGroups({
      ...{ catalog: shard, clock, random: this.#random, logger: silentLogger, seenTerms: new SeenTerms() },
      ...{ ownTerm: () => 0, memberName: name, sessionMs: SESSION_MS },
    });
    const member: Member = { name, shard, groups, membership: undefined, work: new Map(), changes: 0, isAlive: true };
    return member;
  }

  async #joinAgain(member: Member): Promise<void> {
    if (!member.isAlive) return;
    try {
      member.membership = await member.groups.join('g', TOPIC, (assignments) => this.#tell(member, assignments));
      for (const { partition, term } of member.membership.assignments) member.work.set(partition, term);
    } catch {
      this.#after(500, () => void this.#joinAgain(member));
    }
  }

  #tell(member: Member, assignments: readonly Assignment[]): void | Promise<void> {
    member.changes++;
    if (!member.isAlive) return;
    const wanted = new Map(assignments.map(({ partition, term }) => [partition, term]));
    const ending = [...member.work].filter(([partition, term]) => wanted.get(partition) !== term);
    for (const [partition, term] of wanted) member.work.set(partition, term);
    const end = (): void => {
      for (const [partition, term] of ending) if (member.work.get(partition) === term) member.work.delete(partition);
    };
    if (assignments.length === 0 || ending.length === 0) return end();
    return new Promise((resolve) =>
      this.#after(this.#random.fraction() * STOP_MS_MAX, () => {
        end();
        resolve();
      }),
    );
  }

  #clock(rate: number, isAlive: () => boolean): Clock {
    return {
      nowMs: () => Math.floor(EPOCH_MS + this.#nowMs),
      monotonicMs: () => this.#nowMs * rate,
      after: (delayMs, callback) =>
        this.#after(delayMs / rate, () => {
          if (isAlive()) callback();
        }),
      soon: (callback) => void setImmediate(callback),
    };
  }

  #after(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  async #settle(): Promise<void> {
    await this.server.idle();
    this.checkOwners();
  }

  async #moveTo(nowMs: number): Promise<void> {
    this.#nowMs = nowMs;
    await this.#showTime();
  }

  async #showTime(): Promise<void> {
    await this.server.client.set(NOW_KEY, String(Math.floor(EPOCH_MS + this.#nowMs + this.#skewMs)));
  }
}
