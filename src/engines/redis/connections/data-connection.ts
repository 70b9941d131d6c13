/**
 * A connection to a server that holds data, with what the server said of itself before anything else was sent, and a second connection for
 * messages when channels are subscribed to: the server drops a subscriber that falls behind, and that must not hit the calls.
 *
 * Now and then the server is asked again. Once it is no longer the same master with the same history, the connection is closed.
 */

import type { RedisAddress } from '../../../core/redis-url.ts';
import type { RedisReply } from './redis-servers.ts';
import { ReplicaWaits } from './replica-waits.ts';
import { type ServerAccess, ServerConnection } from './server-connection.ts';
import {
  askFacts,
  INFO_REPLICATION,
  parseReplication,
  type ReplicationFacts,
  type ServerFacts,
} from './server-facts.ts';
import { Subscriber } from './subscriber.ts';
import { asUnusable, UnusableServer } from './unusable-server.ts';

/** The holder is told of every change: closed, suspected, relieved. */
export type DataWatcher = (connection: DataConnection) => void;

export class DataConnection {
  readonly calls: ServerConnection;
  readonly replicaWaits: ReplicaWaits;
  readonly facts: ServerFacts;
  readonly #access: ServerAccess;
  #watcher: DataWatcher | undefined;
  #subscriber: Subscriber | undefined;
  #replication: ReplicationFacts;
  /** Of the master's promotion, as Sentinel or Cluster number them. */
  configEpoch: number;
  readonly #end = new AbortController();

  private constructor(calls: ServerConnection, facts: ServerFacts, access: ServerAccess) {
    this.calls = calls;
    this.replicaWaits = new ReplicaWaits(calls);
    this.facts = facts;
    this.#access = access;
    this.#replication = facts.replication;
    this.configEpoch = facts.configEpoch;
  }

  /** Whatever its role. Rejects as ServerConnection.open. */
  static async open(address: RedisAddress, access: ServerAccess, signal: AbortSignal): Promise<DataConnection> {
    const options = { ...access, address, probe: INFO_REPLICATION, isSubscriber: false };
    const calls = await ServerConnection.open(options, signal);
    // A server may take the connection and then hang.
    const { connectTimeoutMs } = access;
    const timer = setTimeout(() => calls.close(`no answer within ${connectTimeoutMs} ms`), connectTimeoutMs);
    const onAbort = (): void => calls.close('closed');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return new DataConnection(calls, await askFacts((command) => calls.send(command)), access).#watchCalls();
    } catch (error) {
      const lost = calls.closeReason;
      calls.close('of no use');
      throw lost === undefined ? asUnusable(error) : new UnusableServer(lost);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  get address(): RedisAddress {
    return this.calls.address;
  }
  get isOpen(): boolean {
    return this.calls.isOpen;
  }
  get isSuspected(): boolean {
    return this.calls.isSuspected;
  }
  /** As last told by the server. */
  get replication(): ReplicationFacts {
    return this.#replication;
  }
  /** `<run id>:<replication id>`: another one after every restart and every promotion. */
  get incarnation(): string {
    return `${this.facts.runId}:${this.#replication.replicationId}`;
  }
  get closeReason(): string | undefined {
    return this.calls.closeReason;
  }

  /** From now on. */
  watch(watcher: DataWatcher): void {
    this.#watcher = watcher;
    if (!this.isOpen) queueMicrotask(() => watcher(this));
  }

  /** Asks again. Errors as ServerConnection.send. */
  async askReplication(): Promise<ReplicationFacts> {
    this.#noteReplication(await this.calls.send(INFO_REPLICATION));
    return this.#replication;
  }

  /**
   * One listener per channel. `onLost`: this server does not serve the channel (any more); it is tried again until the way to stop,
   * which is the answer, is called.
   */
  subscribe(channel: string, listener: (message: Buffer | undefined) => void, onLost: () => void): () => void {
    this.#subscriber ??= new Subscriber(this.address, this.#access, this.#end.signal);
    return this.#subscriber.add(channel, { listener, onLost });
  }

  close(reason: string): void {
    this.calls.close(reason);
  }

  #watchCalls(): this {
    const tell = (): void => this.#watcher?.(this);
    this.calls.watch({
      onClosed: () => {
        this.#end.abort();
        tell();
      },
      onSuspected: tell,
      onRelieved: tell,
      onProbed: (reply) => this.#noteReplication(reply),
    });
    return this;
  }

  #noteReplication(reply: RedisReply): void {
    const before = this.#replication;
    this.#replication = parseReplication(reply);
    const { isMaster, replicationId } = this.#replication;
    if (!before.isMaster || (isMaster && replicationId === before.replicationId)) return;
    this.close(isMaster ? 'has another history now' : 'is no longer master');
  }
}
