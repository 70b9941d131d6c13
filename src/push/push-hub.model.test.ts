/**
 * Random interleavings of appends, subscriptions from random positions, slow clients, trims, lost histories, new partitions and closes, on
 * a store whose answers take a random number of ticks. Each client checks the law of delivery as it goes (recording-client.fixture.ts); at the
 * end every live client must stand exactly at the end of the log, and every ended one at the positions it was told.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import type { PushSession, SlowClientPolicy } from '../core/contracts/push.ts';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { asTandemError } from '../core/errors.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { systemClock } from '../core/ports/clock.ts';
import { type Random, seededRandom } from '../core/ports/random.ts';
import { type Cursor, encodeCursor, type Position } from '../core/position.ts';
import { recordSetOf } from '../core/record-set.ts';
import { type MemoryEngine, openMemoryEngine } from '../engines/memory/memory-engine.ts';
import { createSessionQueues } from '../sessions/session-queue.ts';
import type { ReadableStore } from './push-context.ts';
import { createPush } from './push-hub.ts';
import { LineEncoder, RecordingClient } from './recording-client.fixture.ts';

const CLIENTS = 4;
const QUEUE_BYTES = 6_000;
const CHANNELS = ['a', 'b'];
/** Of a message: what one write adds at most, a replay's chunk or a flush, in these runs. */
const WRITE_BYTES_MAX = 70_000;

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The store with answers that come late: taken now, or taken later. */
function delayed(store: ReadableStore, random: Random): ReadableStore {
  const late = async <T>(work: () => Promise<T>): Promise<T> => {
    for (let n = Math.floor(random.fraction() * 4); n > 0; n--) await tick();
    const result = await work();
    for (let n = Math.floor(random.fraction() * 4); n > 0; n--) await tick();
    return result;
  };
  return {
    read: (place, from, bytesMax) => late(() => store.read(place, from, Math.ceil(bytesMax * random.fraction() * 0.1))),
    state: (place) => late(() => store.state(place)),
    watch: (place, wake) => store.watch(place, wake),
  };
}

class Seat {
  client: RecordingClient;
  session: PushSession;
  readonly #world: World;
  /** Positions that clients of this seat had, by channel. */
  readonly #history: string[] = [];
  readonly #asked = new Map<string, symbol>();

  constructor(world: World) {
    this.#world = world;
    [this.client, this.session] = this.#connect();
  }

  #connect(): [RecordingClient, PushSession] {
    const client = new RecordingClient(this.#world.encoder);
    client.isConflated = this.#world.policy === 'latest-per-key';
    return [client, this.#world.push.openSession(client)];
  }

  subscribe(channel: string, how: number): void {
    this.#remember(channel);
    const place = Math.floor((how % 1) * this.#history.length);
    const position = this.#history[place];
    const from = how < 1 ? 'now' : how < 2 || position === undefined ? 'start' : { position };
    const { client } = this;
    const asked = Symbol();
    this.#asked.set(channel, asked);
    client.cursors.delete(channel);
    const begin = this.session.subscribe(channel, from, (answer) => {
      if (this.#asked.get(channel) !== asked || client.cursors.has(channel)) client.problems.push('a stray answer');
      client.begin(channel, answer.position);
      if (typeof from === 'object' && answer.isComplete && answer.position !== from.position)
        // Only partitions that came later may differ.
        client.problems.push(...this.#world.unlike(channel, from.position, answer.position));
    });
    begin.catch((error: unknown) => {
      const { code } = asTandemError(error);
      if (code !== 'TANDEM_SUBSCRIPTION_UNKNOWN') client.problems.push(`subscribe failed: ${code}`);
    });
  }

  unsubscribe(channel: string): void {
    this.#remember(channel);
    try {
      this.session.unsubscribe(channel);
      this.#asked.delete(channel);
      this.client.cursors.delete(channel);
    } catch (error) {
      assert.equal(asTandemError(error).code, 'TANDEM_SUBSCRIPTION_UNKNOWN');
    }
  }

  reconnect(): void {
    for (const channel of CHANNELS) this.#remember(channel);
    this.session.close();
    this.check();
    this.#asked.clear();
    [this.client, this.session] = this.#connect();
  }

  check(): void {
    assert.deepEqual(this.client.problems, []);
    assert.ok(this.client.bufferedBytesMax <= WRITE_BYTES_MAX, `${this.client.bufferedBytesMax} buffered`);
  }

  isAtEnd(): boolean {
    if (this.client.ended !== undefined) return true;
    return [...this.#asked.keys()].every((channel) => this.client.cursors.has(channel) && this.#isAtEndOf(channel));
  }

  #isAtEndOf(channel: string): boolean {
    const cursor = this.client.cursors.get(channel);
    return [...this.#world.end(channel)].every(([partition, { epoch, offset }]) => {
      const own = cursor?.get(partition);
      // A client hears of a new partition with the next record.
      return own === undefined ? offset === 0 : own.epoch === epoch && own.offset === offset;
    });
  }

  #remember(channel: string): void {
    const cursor = this.client.cursors.get(channel);
    if (cursor !== undefined && channel === 'a') this.#history.push(encodeCursor(cursor));
  }
}

class World {
  readonly encoder = new LineEncoder();
  readonly policy: SlowClientPolicy;
  readonly engine: MemoryEngine;
  readonly push: ReturnType<typeof createPush>;
  readonly seats: Seat[];
  #partitions = 2;

  constructor(seed: number, policy: SlowClientPolicy) {
    this.policy = policy;
    const random = seededRandom(seed);
    this.engine = openMemoryEngine({ clock: systemClock, random, limits: DEFAULT_LIMITS });
    this.push = createPush({
      topics: this.engine.topics,
      store: delayed(this.engine.store, random),
      limits: DEFAULT_LIMITS,
      policyFor: () => ({ policy, queueBytesMax: QUEUE_BYTES }),
      queues: createSessionQueues({ sessionQueueBytesMax: QUEUE_BYTES * 2 }),
      clock: systemClock,
      logger: silentLogger,
    });
    this.seats = [];
  }

  async start(): Promise<void> {
    await this.#ensure('a', this.#partitions);
    await this.#ensure('b', 1);
    for (let i = 0; i < CLIENTS; i++) this.seats.push(new Seat(this));
  }

  append(channel: string, partition: number, count: number, bytes: number): void {
    const p = channel === 'a' ? partition % this.#partitions : 0;
    const records = Array.from({ length: count }, (_, i) => ({
      data: Buffer.alloc(bytes, 120),
      key: `k${p}-${i % 3}`,
    }));
    this.engine.store.append({ topic: channel, partition: p, set: recordSetOf(records) }).catch(() => assert.fail());
  }

  trim(partition: number, share: number): void {
    const place = { topic: 'a', partition: partition % this.#partitions };
    const { firstOffset, nextOffset } = this.engine.shared.partition(place).state();
    this.engine.shared.partition(place).trim(firstOffset + Math.ceil((nextOffset - firstOffset) * share));
  }

  lose(partition: number): void {
    this.engine.shared.loseHistory({ topic: 'a', partition: partition % this.#partitions });
  }

  async grow(): Promise<void> {
    if (this.#partitions < 4) await this.#ensure('a', ++this.#partitions);
  }

  end(channel: string): Cursor {
    const cursor = new Map<number, Position>();
    for (let partition = 0; partition < (channel === 'a' ? this.#partitions : 1); partition++) {
      const { epoch, nextOffset } = this.engine.shared.partition({ topic: channel, partition }).state();
      cursor.set(partition, { epoch, offset: nextOffset });
    }
    return cursor;
  }

  /** A complete answer must begin where it was asked to, but for partitions that the position did not know. */
  unlike(channel: string, asked: string, answered: string): string[] {
    const rows = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString()) as [number, string, number][];
    const known = rows(asked);
    const same = rows(answered).filter(([partition]) => known.some(([p]) => p === partition));
    return JSON.stringify(same) === JSON.stringify(known) ? [] : [`${channel}: complete, but begins elsewhere`];
  }

  async settle(): Promise<void> {
    for (const seat of this.seats) {
      // Makes the feed look for new partitions, which it otherwise does every few seconds.
      if (seat.client.ended === undefined) seat.subscribe('b', 0);
    }
    const finder = new RecordingClient(this.encoder);
    const session = this.push.openSession(finder);
    await session.subscribe('a', 'now', (answer) => finder.begin('a', answer.position));
    for (let turns = 0; turns < 5_000; turns++) {
      for (const seat of this.seats) seat.client.drain(Number.POSITIVE_INFINITY);
      if (this.seats.every((seat) => seat.isAtEnd())) break;
      await tick();
    }
    for (const seat of this.seats) {
      seat.check();
      assert.ok(
        seat.isAtEnd(),
        `neither at the end nor ended: ${inspect([seat.client.cursors, this.end('a')], { depth: 5 })}`,
      );
    }
    session.close();
  }

  async close(): Promise<void> {
    this.push.close();
    await this.engine.close();
  }

  async #ensure(name: string, partitions: number): Promise<void> {
    await this.engine.topics.ensure({ name, partitions, retentionMs: null, retentionBytes: null });
  }
}

const seatIndex = fc.integer({ min: 0, max: CLIENTS - 1 });
const channel = fc.constantFrom('a', 'a', 'a', 'b');
const partition = fc.integer({ min: 0, max: 3 });
const share = fc.integer({ min: 0, max: 99 }).map((n) => n / 100);
type Step = (world: World) => void | Promise<void>;
/** Shown as text when a run fails. */
const named = (name: string, step: Step): Step => Object.assign(step, { [fc.toStringMethod]: () => name });

const append = fc
  .tuple(channel, partition, fc.integer({ min: 1, max: 30 }), fc.constantFrom(0, 10, 200))
  .map(([c, p, n, bytes]) => named(`append ${c} ${p} ${n}x${bytes}`, (world) => world.append(c, p, n, bytes)));
const subscribe = fc
  .tuple(seatIndex, channel, fc.integer({ min: 0, max: 3 }), share)
  .map(([i, c, kind, where]) =>
    named(`subscribe ${i} ${c} ${kind + where}`, (world) =>
      world.seats[i]?.subscribe(c, kind + (kind < 2 ? 0 : where)),
    ),
  );
const unsubscribe = fc
  .tuple(seatIndex, channel)
  .map(([i, c]) => named(`unsubscribe ${i} ${c}`, (world) => world.seats[i]?.unsubscribe(c)));
const reconnect = seatIndex.map((i) => named(`reconnect ${i}`, (world) => world.seats[i]?.reconnect()));
const room = fc
  .tuple(seatIndex, fc.constantFrom(0, 0, 500, 5_000, Number.POSITIVE_INFINITY))
  .map(([i, bytes]) => named(`room ${i} ${bytes}`, (world) => world.seats[i]?.client.drain(bytes)));
const trim = fc.tuple(partition, share).map(([p, n]) => named(`trim ${p} ${n}`, (world) => world.trim(p, n)));
const lose = partition.map((p) => named(`lose ${p}`, (world) => world.lose(p)));
/** One loss on the heels of another, with a subscription in between: each may know of another epoch. */
const loseTwice = fc
  .tuple(partition, seatIndex, fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 6 }))
  .map(([p, i, n, m]) =>
    named(`lose ${p} twice ${i} ${n} ${m}`, async (world) => {
      world.lose(p);
      for (let k = 0; k < n; k++) await tick();
      world.seats[i]?.subscribe('a', n % 2);
      for (let k = 0; k < m; k++) await tick();
      world.lose(p);
    }),
  );
const grow = fc.constant(named('grow', (world) => world.grow()));
const wait = fc.integer({ min: 1, max: 8 }).map((n) =>
  named(`wait ${n}`, async () => {
    for (let i = 0; i < n; i++) await tick();
  }),
);

const step = fc.oneof(
  { weight: 8, arbitrary: append },
  { weight: 6, arbitrary: subscribe },
  { weight: 2, arbitrary: unsubscribe },
  { weight: 2, arbitrary: reconnect },
  { weight: 5, arbitrary: room },
  { weight: 2, arbitrary: trim },
  { weight: 1, arbitrary: lose },
  { weight: 1, arbitrary: loseTwice },
  { weight: 1, arbitrary: grow },
  { weight: 8, arbitrary: wait },
);

for (const policy of ['disconnect', 'drop-oldest', 'latest-per-key'] as const)
  test(`every session sees exactly what follows its position, or is told (${policy})`, async () => {
    const run = async (seed: number, steps: readonly Step[]): Promise<void> => {
      const world = new World(seed, policy);
      await world.start();
      try {
        for (const next of steps) await next(world);
        await world.settle();
      } finally {
        await world.close();
      }
    };
    const steps = fc.array(step, { minLength: 5, maxLength: 80, size: 'max' });
    const numRuns = Number(process.env['TANDEM_MODEL_RUNS'] ?? 200);
    await fc.assert(fc.asyncProperty(fc.integer(), steps, run), { numRuns });
  });
