/** A Redis server of a test's own and ways to its catalog, without what connections do about other servers. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createClient, RESP_TYPES } from '@redis/client';
import { TandemError } from '../../core/errors.ts';
import { until } from '../../core/testing/until.ts';
import type { RedisReply } from './connections/redis-servers.ts';
import { LIBRARY_CODE } from './library/library.ts';
import { fencedError } from './reply-errors.ts';
import type { Answer, Shard } from './shard.ts';

const PREFIX = 'test';
export const NOW_KEY = 'test:now';

type Client = ReturnType<typeof newClient>;

export interface CatalogServer {
  readonly client: Client;
  /** Resolves when all calls are answered, all messages have arrived, and what they set off is done. */
  idle(): Promise<void>;
  /** A way of its own, as another process has it. */
  open(): CatalogShard;
  /** Another server counts from now on: the same data, or as it was at a `snapshot`, or none (undefined). */
  failover(snapshot: Snapshot | undefined): Promise<void>;
  snapshot(): Promise<Snapshot>;
  makeTopic(name: string, partitions: number): Promise<void>;
}

export type Snapshot = readonly { readonly key: string; readonly value: Buffer }[];

const newClient = (path: string) =>
  createClient({
    socket: { path, tls: false },
    RESP: 2,
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });

/** `isManual`: the server's clock is the key NOW_KEY. */
export async function startCatalogServer(t: TestContext, isManual = false): Promise<CatalogServer> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-catalog-'));
  const path = join(folder, 'socket');
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--save', '', '--dir', folder], {
    stdio: 'ignore',
  });
  const client = newClient(path).on('error', () => {});
  t.after(async () => {
    client.destroy();
    server.kill('SIGKILL');
    await until('the server is gone', () => server.exitCode !== null || server.signalCode !== null);
    rmSync(folder, { recursive: true, force: true });
  });
  await client.connect();
  await until('the server answers', async () => (await client.ping().catch(() => '')) !== '');
  const subscriber = newClient(path).on('error', () => {});
  await subscriber.connect();
  t.after(() => subscriber.destroy());
  await client.sendCommand(['FUNCTION', 'LOAD', isManual ? withManualClock(LIBRARY_CODE) : LIBRARY_CODE]);
  const key = (name: string): string => `{${PREFIX}}:${name}`;
  const shards: CatalogShard[] = [];
  const calls = { inHand: 0 };
  for (const channel of ['groups', 'peers'] as const)
    await subscriber.sSubscribe(key(channel), (message) => {
      for (const shard of shards) shard.told(channel, String(message));
    });
  return {
    client,
    idle: async () => {
      for (let turns = 0; turns < 3; turns++) {
        await new Promise((resolve) => setImmediate(resolve));
        if (calls.inHand > 0) turns = -1;
        else if (turns === 0) await subscriber.ping();
      }
    },
    open: () => {
      const shard = new CatalogShard(client, calls);
      shards.push(shard);
      return shard;
    },
    snapshot: async () => {
      const keys = (await client.keys('*')).map(String).filter((name) => name !== NOW_KEY);
      return Promise.all(
        keys.map(async (name) => ({
          key: name,
          value: (await client.sendCommand(['DUMP', name])) as unknown as Buffer,
        })),
      );
    },
    failover: async (snapshot) => {
      const now = await client.get(NOW_KEY);
      await client.flushAll();
      if (now !== null) await client.set(NOW_KEY, now);
      for (const { key: name, value } of snapshot ?? []) await client.sendCommand(['RESTORE', name, '0', value]);
      if (snapshot !== undefined) await client.hSet(key('shard'), 'incarnation', 'another');
      await new CatalogShard(client, calls).call('committed', [key('none')], []);
      for (const shard of shards) shard.reconnected();
    },
    makeTopic: async (name, partitions) => {
      await client.hSet(key('topics'), name, JSON.stringify({ partitions }));
      for (const shard of shards) shard.told('topics', name);
    },
  };
}

const withManualClock = (code: string): string => {
  const replaced = code.replace(
    /(local function now\(\)\n)[\s\S]*?\nend/,
    `$1  return tonumber(redis.call('GET', '${NOW_KEY}'))\nend`,
  );
  if (replaced === code) throw new TandemError('TANDEM_INTERNAL', { detail: 'the library has another clock' });
  return replaced;
};

/** Nothing arrives; nothing is answered; answers come when it is healed. */
export type Fault = 'none' | 'requests' | 'answers' | 'late';

/** As the engine's shards, but that it knows nothing of connections. */

export class CatalogShard implements Shard {
  readonly tag = PREFIX;
  replicaCount = 0;
  confirmedReplicas = 0;
  readonly #client: Client;
  readonly #calls: { inHand: number };
  readonly #listeners = new Map<string, Set<(message: Buffer | undefined) => void>>();
  readonly #reconnected = new Set<() => void>();
  #history: string | undefined;
  #fault: Fault = 'none';
  #healed = Promise.withResolvers<void>();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(client: Client, calls: { inHand: number }) {
    this.#client = client;
    this.#calls = calls;
  }

  get fault(): Fault {
    return this.#fault;
  }

  set fault(fault: Fault) {
    this.#fault = fault;
    if (fault === 'late') return;
    this.#healed.resolve();
    this.#healed = Promise.withResolvers();
  }

  key(name: string): string {
    return `{${PREFIX}}:${name}`;
  }

  call(name: string, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Answer> {
    this.#calls.inHand++;
    const answered = this.#tail
      .then(() => this.#perform(name, keys, args))
      .finally(() => {
        this.#calls.inHand--;
      });
    this.#tail = answered.catch(() => {});
    return answered;
  }

  async #perform(name: string, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<Answer> {
    if (this.#fault === 'requests') throw new TandemError('TANDEM_STORE_UNREACHABLE');
    this.#history ??= await this.#adopt();
    for (;;) {
      const reply = await this.#call(name, keys, [this.#history, ...args]);
      const status = String(reply[0]);
      if (this.#fault === 'late') {
        this.#calls.inHand--;
        await this.#healed.promise;
        this.#calls.inHand++;
      }
      if (status === 'HISTORY') this.#history = await this.#adopt();
      else if (status === 'TERM') throw fencedError(Number(reply[1]));
      else if (this.#fault !== 'none') throw new TandemError('TANDEM_STORE_UNREACHABLE');
      else return reply;
    }
  }

  subscribe(name: string, listener: (message: Buffer | undefined) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  async publish(name: string, message: string): Promise<void> {
    if (this.#fault !== 'none') throw new TandemError('TANDEM_STORE_UNREACHABLE');
    this.#calls.inHand++;
    await this.#client.sPublish(this.key(name), message).finally(() => {
      this.#calls.inHand--;
    });
  }

  onReconnected(listener: () => void): () => void {
    this.#reconnected.add(listener);
    return () => this.#reconnected.delete(listener);
  }

  replicas(): Promise<number> {
    return Promise.resolve(this.replicaCount);
  }

  waitForReplicas(count: number): Promise<number> {
    return Promise.resolve(Math.min(count, this.confirmedReplicas));
  }

  reconnected(): void {
    this.#history = undefined;
    for (const listener of this.#reconnected) listener();
  }

  /** Messages may have been missed. */
  resubscribed(): void {
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener(undefined);
  }

  /** A message comes to this listener. */
  told(channel: 'groups' | 'topics' | 'peers', message: string): void {
    if (this.#fault === 'none')
      for (const listener of this.#listeners.get(channel) ?? []) listener(Buffer.from(message));
  }

  async #adopt(): Promise<string> {
    const [status, known] = await this.#call('look', [], []);
    if (String(status) === 'OK') return String(known);
    const ids = Array.from({ length: 2 }, () => Math.random().toString(16).slice(2));
    const [, history] = await this.#call('adopt', [this.key('term')], [...ids, '0', '0']);
    return String(history);
  }

  async #call(
    name: string,
    keys: readonly string[],
    args: readonly (string | Buffer)[],
  ): Promise<readonly RedisReply[]> {
    const all = [this.key('shard'), ...keys];
    const command = ['FCALL', `tandem1_${name}`, String(all.length), ...all, ...args];
    return (await this.#client.sendCommand(command)) as unknown as readonly RedisReply[];
  }
}
