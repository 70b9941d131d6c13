/**
 * The source `redis-list://host/message_queue?topic=T`: what users' code pushes onto a Redis list goes into a topic, each item once.
 *
 * Each worker that has a slot has a taker, `<node>/<slot>`, with a processing list of its own (list-scripts.ts says what lies where). A taker
 * keeps the list's order and fills one partition; several takers share the list as it comes, so between them there is no order: `takers=1`
 * keeps it. What a dead taker has left is published by whoever sees it first, under the dead one's producer, so still once; at once if the
 * store's terms say that it cannot be serving any more, else when its sign of life has ended.
 * Non-goals: order over several takers, Redis Cluster, exactly once over different stores (who takes over from a node with
 * another store cannot know what that one has stored).
 */
import type { RecordStore } from '../../core/contracts/engine.ts';
import type { Ingest } from '../../core/contracts/ingest.ts';
import type { SourceListener } from '../../core/contracts/listener.ts';
import type { Logger, MetricSample } from '../../core/contracts/telemetry.ts';
import { TandemError } from '../../core/errors.ts';
import { type Clock, delay } from '../../core/ports/clock.ts';
import type { Random } from '../../core/ports/random.ts';
import {
  type ConnectRedis,
  type RedisConnection,
  type RedisEndpoint,
  RedisProblem,
} from '../../core/ports/redis-connection.ts';
import {
  type AttachOptions,
  type ListEnd,
  type OtherTaker,
  otherTakers,
  refusedKey,
  TakerScripts,
} from './list-scripts.ts';
import { type ListCounts, ListSession, type SessionEnd } from './list-session.ts';

export interface RedisListSourceOptions {
  /** As in the config, without secrets. */
  readonly url: string;
  readonly endpoint: RedisEndpoint;
  readonly list: string;
  readonly from: ListEnd;
  readonly topic: string;
  /** Of this worker: `<node>/<slot>`. No other process of a live node has it. */
  readonly taker: string;
  /** Above those of earlier processes of the same taker. */
  readonly slotTerm: number;
  readonly nodeTerm: number;
  /** Nodes of an older term on the same store are gone or fenced: what they have left can be had at once. */
  readonly isOnlyActive: boolean;
  readonly recordBytesMax: number;
  readonly ingest: Ingest;
  readonly store: RecordStore;
  readonly connect: ConnectRedis;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const BACKOFF_MS = 100;
const BACKOFF_MS_MAX = 2000;
/** Between looks for what dead takers have left; each waits up to half as long again. */
const LOOK_MS = 5000;
const HELD_HINT =
  'another process takes from this list under this name: two nodes that share a list must have different names; or it died a moment ago';

export function createRedisListSource(options: RedisListSourceOptions): SourceListener {
  return new RedisListSource(options);
}

class RedisListSource implements SourceListener {
  readonly #options: RedisListSourceOptions;
  /** Names this process. */
  readonly #owner: string;
  readonly #counts: ListCounts = { taken: 0, refused: 0, adopted: 0 };
  readonly #sessions = new Set<ListSession>();
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isSound = false;
  #failures = 0;
  /** What was logged last of what is wrong; '': nothing is wrong. */
  #trouble = '';

  constructor(options: RedisListSourceOptions) {
    this.#options = options;
    this.#owner = options.random.id(8);
  }

  start(): void {
    this.#running = this.#run();
  }

  async drain(deadlineMs: number): Promise<void> {
    const stop = new AbortController();
    this.#stopped.abort();
    for (const session of this.#sessions) session.stop();
    const timeUp = delay(this.#options.clock, deadlineMs, stop.signal).catch(() => {});
    await Promise.race([this.#running, timeUp]);
    stop.abort();
  }

  metrics(): MetricSample[] {
    const { topic, list } = this.#options;
    const labels = { listener: 'redis-list', list, topic };
    const { taken, refused, adopted } = this.#counts;
    let unfinished = 0;
    for (const session of this.#sessions) unfinished += session.unfinished;
    const sample = (kind: MetricSample['kind'], name: string, help: string, value: number): MetricSample => {
      return { name: `tandem_listener_${name}`, kind, help, labels, value };
    };
    return [
      sample('counter', 'items_total', 'Items taken from the list; again after a break', taken),
      sample('counter', 'refused_items_total', 'Items too large, moved to the refused ones', refused),
      sample('counter', 'adopted_items_total', 'Items of these that a dead taker had left', adopted),
      sample('gauge', 'unfinished_items', 'Items taken and not yet stored', unfinished),
      sample('gauge', 'is_sound', '1: it takes from the list; 0: see the log', this.#isSound ? 1 : 0),
    ];
  }

  get #isStopping(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    while (!this.#isStopping) {
      try {
        await this.#serve();
      } catch (thrown) {
        if (this.#isStopping) return;
        this.#fail(thrown);
      }
      this.#isSound = false;
      const longestMs = Math.min(BACKOFF_MS * 2 ** Math.min(this.#failures++, 10), BACKOFF_MS_MAX);
      const delayMs = longestMs * (0.5 + random.fraction() / 2);
      await delay(clock, delayMs, this.#stopped.signal).catch(() => {});
    }
  }

  /** Over one connection, until it breaks or something is refused. */
  async #serve(): Promise<void> {
    const { connect, endpoint } = this.#options;
    const connection = await connect(endpoint, this.#stopped.signal);
    const over = new AbortController();
    try {
      // Before new items: what others have left is older.
      await this.#adoptAll(connection);
      void this.#keepLooking(connection, over.signal);
      let mode: AttachOptions['mode'] = 'own';
      while (!this.#isStopping) {
        const end = await this.#takeAs(this.#options.taker, mode, '', connection);
        if (end === 'held') throw new RedisProblem(HELD_HINT);
        mode = 'renew';
      }
    } finally {
      over.abort();
      connection.close();
    }
  }

  /** Runs a session under a taker's name. */
  async #takeAs(
    name: string,
    mode: AttachOptions['mode'],
    replaceable: string,
    connection: RedisConnection,
  ): Promise<SessionEnd> {
    const { list, from, topic, slotTerm: term, nodeTerm, recordBytesMax: limit, random } = this.#options;
    const { ingest, store, clock, connect, endpoint } = this.#options;
    const isAdoption = mode === 'adopt';
    const partition = this.#anyPartition();
    const { epoch } = await store.state({ topic, partition });
    const fresh = { producer: `redis-list/${random.id(8)}`, topic, partition, epoch, limit };
    const counts: ListCounts = isAdoption ? { taken: 0, refused: 0, adopted: 0 } : this.#counts;
    const session = new ListSession({
      scripts: new TakerScripts(connection, list, name, random.id(8)),
      attach: { mode, owner: this.#owner, term, nodeTerm, replaceable, fresh },
      openWaiting: () => connect(endpoint, this.#stopped.signal),
      onRefused: (count, limitBytes) => this.#refused(count, limitBytes),
      onSound: () => {
        if (!isAdoption) this.#sound();
      },
      ...{ list, from, ingest, store, clock, counts },
    });
    this.#sessions.add(session);
    if (this.#isStopping) session.stop();
    try {
      return await session.run();
    } finally {
      this.#sessions.delete(session);
      if (isAdoption) this.#adopted(name, counts.taken);
    }
  }

  /** One to which this worker appends without a detour. */
  #anyPartition(): number {
    const { store, topic, random } = this.#options;
    const local = store.localPartitions(topic);
    return local[Math.floor(random.fraction() * local.length)] ?? 0;
  }

  // -------------------------------------------------------------- dead takers

  async #keepLooking(connection: RedisConnection, over: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    while (!over.aborted && !this.#isStopping) {
      try {
        await delay(clock, LOOK_MS * (1 + random.fraction() / 2), over);
        await this.#adoptAll(connection);
      } catch {
        // The connection is gone, which the session notices.
        return;
      }
    }
  }

  /** What one dead taker's topic or store refuses must not keep the living from working. */
  async #adoptAll(connection: RedisConnection): Promise<void> {
    const { list, taker, logger, url } = this.#options;
    for (const other of await otherTakers(connection, list, taker)) {
      if (this.#isStopping) return;
      if (other.isAlive && other.owner !== this.#owner && !(await this.#isFenced(other))) continue;
      try {
        await this.#takeAs(other.name, 'adopt', other.isAlive ? other.owner : '', connection);
      } catch (thrown) {
        logger.warn('redis_list_not_taken_over', { source: url, taker: other.name, reason: reasonOf(thrown) });
      }
    }
  }

  /** Its node was active before this one, on the same store: nothing that it says is heard any more. */
  async #isFenced({ topic, partition, epoch, nodeTerm }: OtherTaker): Promise<boolean> {
    const { store, isOnlyActive, nodeTerm: ownTerm } = this.#options;
    if (!isOnlyActive || nodeTerm >= ownTerm || epoch === '') return false;
    const state = await store.state({ topic, partition }).catch(() => undefined);
    return state?.epoch === epoch;
  }

  #adopted(name: string, items: number): void {
    if (items === 0) return;
    this.#counts.taken += items;
    this.#counts.adopted += items;
    this.#options.logger.info('redis_list_taken_over', { source: this.#options.url, taker: name, items });
  }

  // -------------------------------------------------------------- telling

  #sound(): void {
    this.#isSound = true;
    this.#failures = 0;
    if (this.#trouble === '') return;
    this.#trouble = '';
    this.#options.logger.info('redis_list_restored', { source: this.#options.url });
  }

  /** Once as long as the reason stays the same. */
  #fail(thrown: unknown): void {
    const reason = reasonOf(thrown);
    if (reason === this.#trouble) return;
    this.#trouble = reason;
    this.#options.logger.error('redis_list_interrupted', { source: this.#options.url, reason });
  }

  #refused(count: number, limitBytes: number): void {
    this.#counts.refused += count;
    const { logger, url, list } = this.#options;
    logger.warn('redis_list_items_refused', { source: url, count, limitBytes, movedTo: refusedKey(list) });
  }
}

const reasonOf = (thrown: unknown): string =>
  thrown instanceof TandemError
    ? `${thrown.code} ${thrown.message}`
    : thrown instanceof Error
      ? thrown.message
      : String(thrown);
