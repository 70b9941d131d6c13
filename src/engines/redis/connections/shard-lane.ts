/**
 * The calls of one hash tag, in their order, to whoever is master.
 *
 * A lane is bound to one connection at a time. It changes to another only when all calls on the old one are settled, and nothing but the
 * preparation is sent on the new one until that has succeeded. While calls cannot be sent they wait here, each until its deadline.
 *
 * A call that a server did not execute is taken back and goes out again before all that waits, once the calls behind it are settled too. If
 * one of those was executed, or may have been, the order cannot be kept: the call is rejected as not executed.
 */
import type { Logger } from '../../../core/contracts/telemetry.ts';
import { TandemError } from '../../../core/errors.ts';
import { ChannelSubscriptions } from './channel-subscriptions.ts';
import type { DataConnection } from './data-connection.ts';
import type { MasterFinder } from './master-finder.ts';
import {
  type RedisArgument,
  type RedisReply,
  RedisReplyError,
  type RedisShard,
  type ShardPreparation,
} from './redis-servers.ts';
import { NOT_EXECUTED } from './unusable-server.ts';
import { type WaitingCall, WaitingCalls } from './waiting-calls.ts';

export interface LaneOptions {
  readonly tag: string;
  readonly slot: number;
  readonly finder: MasterFinder;
  readonly prepare: ShardPreparation;
  readonly unreachableAfterMs: number;
  readonly logger: Logger;
}

type Command = readonly RedisArgument[];

const RETRY_MS = 30;
const PREPARATION_RETRY_MAX_MS = 1000;

export class ShardLane implements RedisShard {
  readonly tag: string;
  readonly #options: LaneOptions;
  readonly #waiting: WaitingCalls;
  readonly #subscriptions: ChannelSubscriptions;
  readonly #reconnected = new Set<() => void>();
  /** Where calls go, or which is being prepared. */
  #connection: DataConnection | undefined;
  #isPrepared = false;
  #isPreparing = false;
  /** Calls go out at once: prepared, not suspected, nothing waits. */
  #flows = false;
  /** Sent and not settled. */
  #unanswered = 0;
  /** Answered as not executed, in their order. */
  #takenBack: WaitingCall[] = [];
  #lastSentOn: DataConnection | undefined;
  #pausedOn: DataConnection | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failedPreparations = 0;
  /** What a server last said against a call. */
  #objection = '';
  #isClosed = false;

  constructor(options: LaneOptions) {
    this.tag = options.tag;
    this.#options = options;
    this.#waiting = new WaitingCalls(() => this.#waitedInVain());
    this.#subscriptions = new ChannelSubscriptions((connection) => options.finder.doubt(connection, 'MOVED'));
  }

  call(command: Command): Promise<RedisReply> {
    if (this.#flows) return this.#send(command, undefined);
    return this.#wait((deadlineMs) => this.#send(command, deadlineMs));
  }

  subscribe(channel: string, listener: (message: Buffer | undefined) => void): () => void {
    return this.#subscriptions.add(channel, listener);
  }

  onReconnected(listener: () => void): () => void {
    this.#reconnected.add(listener);
    return () => this.#reconnected.delete(listener);
  }

  async waitForReplicas(count: number, timeoutMs: number): Promise<number> {
    const send = (): Promise<number> => this.#sendWait(count, timeoutMs);
    return Number(await (this.#flows ? send() : this.#wait(send)));
  }

  async replicas(): Promise<number> {
    const reply = await this.call(['INFO', 'replication']);
    return (String(reply).match(/^slave\d+:.*state=online/gm) ?? []).length;
  }

  /** The finder has news, or something here has: brings the lane to where it can be. */
  advance(): void {
    if (this.#isClosed) return;
    const master = this.#options.finder.master(this.#options.slot);
    if (master === undefined) this.#objection = '';
    if (master !== this.#connection || this.#takenBack.length > 0) {
      this.#flows = false;
      if (this.#unanswered > 0 || this.#isPreparing) return;
      this.#waiting.putBack(this.#takenBack);
      this.#takenBack = [];
    }
    if (this.#pausedOn !== undefined && this.#pausedOn === master) {
      this.#flows = false;
      return;
    }
    this.#endPause();
    if (master !== this.#connection) this.#changeTo(master);
    else {
      this.#flows = this.#isPrepared && master !== undefined && !master.isSuspected;
      if (this.#flows) this.#sendWaiting();
    }
  }

  /** Those who wait would wait in vain. */
  refuse(error: Error): void {
    this.#waiting.rejectAll(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#flows = false;
    this.#endPause();
    this.#subscriptions.leave();
    for (const call of this.#takenBack) call.reject(this.#unreachable('closed', false));
    this.#takenBack = [];
    this.#waiting.rejectAll(this.#unreachable('closed', false));
  }

  #send(command: Command, deadlineMs: number | undefined): Promise<RedisReply> {
    const connection = this.#connection as DataConnection;
    this.#unanswered++;
    this.#lastSentOn = connection;
    return connection.calls.exchange(command, this.#onReply, (error) => this.#onError(error, command, deadlineMs));
  }

  /** In hand until it is answered: the lane stays on this connection. */
  #sendWait(count: number, timeoutMs: number): Promise<number> {
    const connection = this.#connection as DataConnection;
    if (this.#lastSentOn !== connection)
      return Promise.reject(this.#unreachable('the server is another one than before', false));
    this.#unanswered++;
    return connection.replicaWaits.wait(count, timeoutMs).finally(() => {
      this.#unanswered--;
      if (!this.#flows) this.#settled(true);
    });
  }

  readonly #onReply = (reply: RedisReply): RedisReply => {
    this.#unanswered--;
    this.#connection?.calls.noteAnswer();
    if (!this.#flows) this.#settled(true);
    return reply;
  };

  #onError(error: unknown, command: Command, deadlineMs: number | undefined): Promise<RedisReply> {
    const connection = this.#connection as DataConnection;
    const known = connection.calls.errorOf(error);
    if (!(known instanceof RedisReplyError) || !NOT_EXECUTED.has(known.code) || this.#isClosed)
      return this.#failed(error);
    this.#unanswered--;
    connection.calls.noteAnswer();
    return this.#takeBack(command, known, deadlineMs);
  }

  #failed(error: unknown): Promise<never> {
    const { calls } = this.#connection as DataConnection;
    this.#unanswered--;
    calls.noteAnswer();
    const known = calls.errorOf(error);
    if (!this.#flows) this.#settled(true);
    return Promise.reject(known);
  }

  #takeBack(command: Command, answer: RedisReplyError, deadlineMs = this.#deadlineMs()): Promise<RedisReply> {
    const connection = this.#connection as DataConnection;
    this.#flows = false;
    this.#objection = answer.message;
    const call = new Promise<RedisReply>((resolve, reject) => {
      const send: WaitingCall['send'] = (untilMs) => this.#send(command, untilMs);
      this.#takenBack.push({ send, deadlineMs, resolve, reject });
    });
    this.#pauseOn(connection, RETRY_MS);
    this.#options.finder.doubt(connection, answer.code);
    this.#settled(false);
    return call;
  }

  /** A call was settled while the lane does not flow. `isExecuted`: or may be. */
  #settled(isExecuted: boolean): void {
    if (isExecuted && this.#takenBack.length > 0) {
      const overtaken = this.#takenBack;
      this.#takenBack = [];
      for (const call of overtaken)
        call.reject(this.#unreachable(`refused (${this.#objection}), and a later call was not`, false));
    }
    if (this.#unanswered === 0) this.advance();
  }

  #wait(send: WaitingCall['send']): Promise<RedisReply> {
    if (this.#isClosed) return Promise.reject(this.#unreachable('closed', false));
    return new Promise((resolve, reject) => {
      this.#waiting.add({ send, deadlineMs: this.#deadlineMs(), resolve, reject });
    });
  }

  #sendWaiting(): void {
    for (const { send, deadlineMs, resolve, reject } of this.#waiting.takeAll()) send(deadlineMs).then(resolve, reject);
  }

  #deadlineMs(): number {
    return performance.now() + this.#options.unreachableAfterMs;
  }

  #waitedInVain(): TandemError {
    const { finder, unreachableAfterMs } = this.#options;
    const forMs = `for ${unreachableAfterMs} ms`;
    const why =
      this.#objection === '' ? `no master ${forMs}; ${finder.trouble}` : `refused ${forMs}: ${this.#objection}`;
    return this.#unreachable(why, false);
  }

  #changeTo(connection: DataConnection | undefined): void {
    this.#flows = false;
    this.#isPrepared = false;
    this.#subscriptions.leave();
    this.#connection = connection;
    if (connection === undefined) return;
    this.#isPreparing = true;
    this.#prepare(connection).then(
      () => this.#prepared(connection),
      (error: Error) => this.#notPrepared(connection, error),
    );
  }

  async #prepare(connection: DataConnection): Promise<void> {
    const { incarnation, configEpoch, replication } = connection;
    const server = { incarnation, configEpoch, replicas: replication.replicas };
    await this.#options.prepare(this.tag, (command) => connection.calls.send(command), server);
  }

  #prepared(connection: DataConnection): void {
    this.#isPreparing = false;
    this.#failedPreparations = 0;
    this.#objection = '';
    this.#isPrepared = connection.isOpen && this.#options.finder.master(this.#options.slot) === connection;
    if (this.#isPrepared && !this.#isClosed) {
      this.#subscriptions.moveTo(connection);
      for (const listener of [...this.#reconnected]) listener();
    }
    this.advance();
  }

  #notPrepared(connection: DataConnection, error: Error): void {
    const { finder, logger } = this.#options;
    this.#isPreparing = false;
    this.#connection = undefined;
    if (this.#isClosed) return;
    this.#objection = error.message;
    const isNotNow = error instanceof RedisReplyError && NOT_EXECUTED.has(error.code);
    if (connection.isOpen && !isNotNow) {
      const code = error instanceof RedisReplyError || error instanceof TandemError ? error.code : error.name;
      logger.error('redis_preparation_failed', { tag: this.tag, code, reason: error.message });
      this.refuse(error);
    }
    this.#pauseOn(connection, Math.min(RETRY_MS * 2 ** this.#failedPreparations++, PREPARATION_RETRY_MAX_MS));
    if (isNotNow) finder.doubt(connection, error.code);
    this.advance();
  }

  /** Nothing more is sent on this connection for a while. */
  #pauseOn(connection: DataConnection, pauseMs: number): void {
    if (this.#pausedOn === connection) return;
    this.#endPause();
    this.#pausedOn = connection;
    this.#pause = setTimeout(() => {
      this.#pausedOn = undefined;
      this.advance();
    }, pauseMs);
    this.#pause.unref();
  }

  #endPause(): void {
    this.#pausedOn = undefined;
    clearTimeout(this.#pause);
  }

  #unreachable(detail: string, mayBeExecuted: boolean): TandemError {
    return new TandemError('TANDEM_STORE_UNREACHABLE', { detail, data: { mayBeExecuted } });
  }
}
