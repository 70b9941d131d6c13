/**
 * Looks at the committed offsets of the drill's consumer as Redis has them: within one data set of a server and one epoch of a partition they only rise.
 * One that falls was written by somebody who had lost the partition to another one.
 */
import type { ServerProcess } from '../../src/core/testing/redis-servers/server-process.ts';
import { pause } from '../producers/producer.ts';
import type { RedisSite } from './redis-site.ts';

const LOOK_EVERY_MS = 100;
/** The name of the data set too: a replica takes over its new master's, which may be older than its own. */
const SCRIPT = `local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
return {(redis.call('HGET', KEYS[1], 'history') or '') .. ' ' .. replid, redis.call('HGETALL', KEYS[2])}`;
const KEYS = ['{tandem}:shard', '{tandem}:commits:data_queue:save'] as const;

export class CommitWatch {
  readonly complaints: string[] = [];
  /** `server history partition epoch` -> the offset. */
  readonly #latest = new Map<string, number>();
  looks = 0;
  #isStopping = false;
  readonly #ended: Promise<unknown>;

  constructor(site: RedisSite) {
    this.#ended = Promise.all(site.servers.map((server) => this.#watch(server)));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  async #watch(server: ServerProcess): Promise<void> {
    while (!this.#isStopping) {
      if (server.isRunning) await this.#look(server).catch(() => {});
      await pause(LOOK_EVERY_MS);
    }
  }

  /** Replicas have what their masters had, in order. In a cluster others than the owner refuse. */
  async #look(server: ServerProcess): Promise<void> {
    const [history, fields] = (await server.call('EVAL', SCRIPT, '2', ...KEYS)) as [string, readonly string[]];
    this.looks++;
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const [partition, value] = [fields[i], fields[i + 1] as string];
      const [offset = '', epoch = ''] = value.split(' ');
      const key = `${server.address} ${history} ${partition} ${epoch}`;
      const before = this.#latest.get(key) ?? 0;
      if (Number(offset) < before)
        this.complaints.push(
          `COMMIT: at ${server.address} partition ${partition} went back from ${before} to ${offset} in epoch ${epoch}, history ${history}`,
        );
      this.#latest.set(key, Number(offset));
    }
  }
}
