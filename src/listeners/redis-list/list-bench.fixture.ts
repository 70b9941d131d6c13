/** What the tests of the source share: a real Redis, a store in memory, and takers that die as processes do. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { SourceListener } from '../../core/contracts/listener.ts';
import { type LogFields, silentLogger } from '../../core/contracts/telemetry.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { systemClock as clock } from '../../core/ports/clock.ts';
import { systemRandom as random } from '../../core/ports/random.ts';
import {
  type ConnectRedis,
  connectRedis,
  type RedisEndpoint,
  RedisProblem,
} from '../../core/ports/redis-connection.ts';
import { recordsOf } from '../../core/record-set.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { type MemoryEngine, MemoryStore, openMemoryEngine } from '../../engines/memory/memory-engine.ts';
import { createIngest } from '../../ingest/ingest.ts';
import { createRedisListSource, type RedisListSourceOptions } from './redis-list-source.ts';

export const LIST = 'message_queue';
const TOPIC = 'messages';
const PARTITIONS = 4;

export interface Taker {
  readonly source: SourceListener;
  readonly engine: MemoryEngine;
  /** As kill -9 does: nothing more leaves it, neither to Redis nor to the store. */
  kill(): void;
}

export type TakerOptions = Partial<RedisListSourceOptions> & { readonly limits?: { readonly ingestBytesMax?: number } };

export class ListBench {
  server: ServerProcess;
  shared: MemoryStore = newStore();
  readonly logged: { readonly event: string; readonly fields: LogFields }[] = [];
  readonly takers: Taker[] = [];

  static async open(t: TestContext, config: readonly string[] = [], password?: string): Promise<ListBench> {
    const { server } = await startRedis(t, { config, ...(password === undefined ? {} : { password }) });
    return ListBench.over(t, server);
  }

  static over(t: TestContext, server: ServerProcess): ListBench {
    const bench = new ListBench(server);
    t.after(() => bench.killAll());
    return bench;
  }

  constructor(server: ServerProcess) {
    this.server = server;
  }

  async killAll(): Promise<void> {
    for (const { kill, source } of this.takers.splice(0)) {
      kill();
      await source.drain(0);
    }
  }

  /** Everything anew: Redis, the store, nobody takes. */
  async reset(): Promise<void> {
    await this.killAll();
    await this.server.call('FLUSHALL');
    this.shared = newStore();
    this.logged.length = 0;
  }

  get endpoint(): RedisEndpoint {
    return endpointOf(this.server);
  }

  /** A process with a taker. */
  take(options: TakerOptions = {}): Taker {
    const { limits, ...given } = options;
    const engine = openMemoryEngine({ clock, random, limits: DEFAULT_LIMITS, store: this.shared });
    const { store, topics } = engine;
    const newTopic = (name: string) => ({ name, partitions: PARTITIONS, retentionMs: null, retentionBytes: null });
    const ingest = createIngest({ topics, store, clock, limits: { ...DEFAULT_LIMITS, ...limits }, newTopic });
    const { connect, cut } = cuttable(given.connect ?? connectRedis);
    const note = (event: string, fields: LogFields = {}): void => void this.logged.push({ event, fields });
    const logger = { ...silentLogger, info: note, warn: note, error: note };
    const source = createRedisListSource({
      ...{ url: 'redis-list://test/message_queue', endpoint: this.endpoint, list: LIST, from: 'right', topic: TOPIC },
      ...{ taker: 'a/0', slotTerm: 1, nodeTerm: 1, isOnlyActive: true, recordBytesMax: 1000 },
      ...{ ingest, store, clock, random, logger, ...given, connect },
    });
    const taker: Taker = {
      source,
      engine,
      kill() {
        cut();
        engine.kill();
      },
    };
    this.takers.push(taker);
    void topics.ensure(newTopic(given.topic ?? TOPIC)).then(() => source.start());
    return taker;
  }

  /** As PHP code does. */
  async push(...items: readonly string[]): Promise<void> {
    for (let at = 0; at < items.length; at += 500) await this.server.call('LPUSH', LIST, ...items.slice(at, at + 500));
  }

  /** By partition, in order. */
  async stored(topic: string = TOPIC): Promise<string[][]> {
    const { store, close } = openMemoryEngine({ clock, random, limits: DEFAULT_LIMITS, store: this.shared });
    const partitions = await Promise.all(
      Array.from({ length: this.shared.findTopic(topic)?.partitions ?? 0 }, async (_, partition) => {
        const { batches } = await store.read({ topic, partition }, { epoch: '', offset: 0 }, 1e9);
        return batches.flatMap((batch) => recordsOf(batch)).map(({ data }) => data.toString());
      }),
    );
    await close();
    return partitions;
  }

  async count(): Promise<number> {
    return (await this.stored()).flat().length;
  }

  /** Until every item is stored and crossed off. */
  async untilEmptied(boundMs?: number): Promise<void> {
    await until('the lists are empty', () => this.isEmptied(), boundMs);
  }

  /** Neither the list nor one of a taker exists, at one moment. */
  async isEmptied(): Promise<boolean> {
    const keys = (await this.server.call('KEYS', `${LIST}*`)) as string[];
    return keys.every((key) => key !== LIST && !/\/\d+$/.test(key));
  }

  async assertOnce(items: readonly string[]): Promise<void> {
    assert.deepEqual((await this.stored()).flat().toSorted(), [...items].toSorted());
  }

  events(name: string): LogFields[] {
    return this.logged.filter(({ event }) => event === name).map(({ fields }) => fields);
  }
}

export const endpointOf = ({ host, port }: { readonly host: string; readonly port: number }): RedisEndpoint => ({
  servers: [{ host, port }],
  masterName: null,
  database: 0,
  isTls: false,
  ...{ username: null, password: null, sentinelUsername: null, sentinelPassword: null },
});

export const numbered = (count: number, prefix = 'm'): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(6, '0')}`);

const newStore = (): MemoryStore => new MemoryStore({ clock, random, limits: DEFAULT_LIMITS });

/** `cut` ends all connections and lets no other be made. */
function cuttable(connect: ConnectRedis): { connect: ConnectRedis; cut: () => void } {
  const open = new Set<() => void>();
  let isCut = false;
  return {
    cut() {
      isCut = true;
      for (const close of open) close();
    },
    async connect(endpoint, signal) {
      if (isCut) throw new RedisProblem('this process is dead');
      const connection = await connect(endpoint, signal);
      open.add(() => connection.close());
      if (isCut) connection.close();
      return connection;
    },
  };
}

/**
 * Calls `onCut` at the `at`-th script, before the server has it or (`isExecuted`) after, and lets nobody know the answer. A script that the server
 * does not know yet does not count.
 */
export function cutAt(at: number, isExecuted: boolean, onCut: () => void): ConnectRedis {
  let scripts = 0;
  return async (endpoint, signal) => {
    const connection = await connectRedis(endpoint, signal);
    const isKnown = async (digest: string): Promise<boolean> =>
      String(await connection.call(['SCRIPT', 'EXISTS', digest])) === '1';
    return {
      close: () => connection.close(),
      async call(command, blockMs) {
        const [name = '', script = ''] = command.map(String);
        const isCounted = name === 'EVAL' || (name === 'EVALSHA' && (await isKnown(script)));
        if (!isCounted || ++scripts !== at) return connection.call(command, blockMs);
        if (isExecuted) await connection.call(command, blockMs);
        onCut();
        throw new RedisProblem('cut');
      },
    };
  };
}
