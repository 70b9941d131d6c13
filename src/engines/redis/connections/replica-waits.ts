/**
 * The WAITs of one connection. The server handles nothing behind a WAIT until that is answered, for whichever shard it came: so there is one at
 * a time, and all who ask meanwhile share the next. And while replicas are missing most WAITs are brief; one of full length now and then
 * finds out whether they are only slow.
 */
import type { ServerConnection } from './server-connection.ts';

/** As much of a ServerConnection as is used. */
type WaitConnection = Pick<ServerConnection, 'send' | 'allowSilence'>;

interface SharedWait {
  count: number;
  timeoutMs: number;
  readonly promise: Promise<number>;
  resolve(replicas: number): void;
  reject(error: unknown): void;
}

/** An idle server looks some ten times a second whether it is over. */
const BRIEF_MS = 50;
/** For how long after a WAIT of full length that found too few replicas they are brief, in multiples of its length. */
const BRIEF_FOR_TIMES = 4;

export class ReplicaWaits {
  readonly #calls: WaitConnection;
  /** Not sent yet. */
  #next: SharedWait | undefined;
  #isBusy = false;
  #briefUntilMs = 0;

  constructor(calls: WaitConnection) {
    this.#calls = calls;
  }

  /**
   * How many replicas have all that was sent over the connection before. At most `timeoutMs` after the one in flight is answered, or as
   * long as others want who share it. Errors as ServerConnection.send.
   */
  wait(count: number, timeoutMs: number): Promise<number> {
    this.#next ??= { count: 0, timeoutMs: 0, ...Promise.withResolvers<number>() };
    const { promise } = this.#next;
    this.#next.count = Math.max(this.#next.count, count);
    this.#next.timeoutMs = Math.max(this.#next.timeoutMs, timeoutMs);
    if (!this.#isBusy) void this.#sendAll();
    return promise;
  }

  async #sendAll(): Promise<void> {
    this.#isBusy = true;
    // What is called in this turn of the event loop shares it.
    await Promise.resolve();
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined;
      await this.#send(next).then(next.resolve, next.reject);
    }
    this.#isBusy = false;
  }

  async #send({ count, timeoutMs }: SharedWait): Promise<number> {
    const isBrief = timeoutMs > BRIEF_MS && performance.now() < this.#briefUntilMs;
    const blocksMs = isBrief ? BRIEF_MS : timeoutMs;
    const done = this.#calls.allowSilence(blocksMs);
    try {
      const replicas = Number(await this.#calls.send(['WAIT', String(count), String(blocksMs)]));
      if (replicas >= count) this.#briefUntilMs = 0;
      else if (!isBrief) this.#briefUntilMs = performance.now() + BRIEF_FOR_TIMES * timeoutMs;
      return replicas;
    } finally {
      done();
    }
  }
}
