/**
 * The target `to: redis-list://host/data_queue`: each record's data is appended to a Redis list (RPUSH), for workers that take from its left.
 * Records of one call go in one command: in their order, all or none.
 *
 * At least once: a call whose answer did not come may have been executed and is made again. A delivery waits for Redis as long as it may
 * take (`timeoutMs`); then it has failed and is tried again as `retry` says. What the server itself answers (WRONGTYPE, OOM, NOPERM) is a
 * failure at once. The list has no bound: that is for whoever takes from it.
 */
import { type Clock, delay } from '../../core/ports/clock.ts';
import {
  type ConnectRedis,
  type RedisConnection,
  type RedisEndpoint,
  RedisProblem,
} from '../../core/ports/redis-connection.ts';
import type { HandlerContext, HandlerRecord } from '../handler-api.ts';
import { failureOf, type Outcome, type Target } from './target.ts';

export interface RedisListTargetOptions {
  readonly endpoint: RedisEndpoint;
  readonly list: string;
  readonly connect: ConnectRedis;
  readonly clock: Clock;
}

/** Answers of a server that is not, or not yet, the one to ask. */
const ELSEWHERE: readonly string[] = ['READONLY', 'LOADING', 'MASTERDOWN', 'UNBLOCKED'];
const RETRY_MS = 50;
const RETRY_MS_MAX = 1000;

export function redisListTarget(options: RedisListTargetOptions): Target {
  const list = new AppendedList(options);
  return {
    deliver: (record, context) => list.append([record], context),
    deliverBatch: (records, context) => list.append(records, context),
  };
}

class AppendedList {
  readonly #options: RedisListTargetOptions;
  #connection: Promise<RedisConnection> | undefined;

  constructor(options: RedisListTargetOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async append(records: readonly HandlerRecord[], context: HandlerContext): Promise<Outcome> {
    const command = ['RPUSH', this.#options.list, ...records.map(({ data }) => data)];
    for (let retryMs = RETRY_MS; ; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
      const failure = await this.#call(command);
      if (failure === undefined) return undefined;
      if (failure.isAnswer && !ELSEWHERE.includes(failure.code)) return failureOf(failure);
      try {
        await delay(this.#options.clock, retryMs, context.signal);
      } catch {
        return failureOf(failure);
      }
    }
  }

  /** undefined: done. After a failure the next call connects anew. */
  async #call(command: readonly (string | Buffer)[]): Promise<RedisProblem | undefined> {
    const { connect, endpoint } = this.#options;
    const connection = this.#connection ?? connect(endpoint);
    this.#connection = connection;
    try {
      await (await connection).call(command);
      return undefined;
    } catch (thrown) {
      if (this.#connection === connection) this.#connection = undefined;
      connection.then(
        (open) => open.close(),
        () => {},
      );
      return thrown instanceof RedisProblem ? thrown : new RedisProblem(String(thrown));
    }
  }
}
