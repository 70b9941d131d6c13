/** One node of a cluster: the connection to it, made when it is first asked, and how it sees the cluster. */

import type { RedisAddress } from '../../../core/redis-url.ts';
import { type ClusterNode, parseClusterNodes } from './cluster-view.ts';
import { DataConnection } from './data-connection.ts';
import { addressText, type ServerAccess } from './server-connection.ts';
import { asUnusable, type UnusableServer, wrongServer } from './unusable-server.ts';

export class ClusterPeer {
  readonly address: RedisAddress;
  readonly #access: ServerAccess;
  readonly #onChanged: () => void;
  readonly #end = new AbortController();
  #connection: DataConnection | undefined;
  #view: readonly ClusterNode[] | undefined;
  #isBusy = false;

  /** `onChanged`: its connection was closed, is suspected or relieved. */
  constructor(address: RedisAddress, access: ServerAccess, onChanged: () => void) {
    this.address = address;
    this.#access = access;
    this.#onChanged = onChanged;
  }

  /** Open, whatever its role. */
  get connection(): DataConnection | undefined {
    return this.#connection;
  }
  /** The connection, if calls may go there: it says that it is master. */
  get master(): DataConnection | undefined {
    return this.#connection?.replication.isMaster === true ? this.#connection : undefined;
  }
  /** As it said last; undefined while it does not answer. */
  get view(): readonly ClusterNode[] | undefined {
    return this.#connection?.isSuspected === false ? this.#view : undefined;
  }

  /** Asks it, after connecting if need be. Answers what is wrong with it, or whether it was asked: not while an earlier question is open. */
  async ask(): Promise<UnusableServer | boolean> {
    if (this.#isBusy || this.#connection?.isSuspected === true) return false;
    this.#isBusy = true;
    try {
      this.#connection ??= await this.#connect();
      const connection = this.#connection;
      const [text] = await Promise.all([
        connection.calls.send(['CLUSTER', 'NODES']),
        // It may have been promoted.
        connection.replication.isMaster ? undefined : connection.askReplication(),
      ]);
      this.#view = parseClusterNodes(String(text), this.address, this.#access.isTls);
      return true;
    } catch (error) {
      return asUnusable(error);
    } finally {
      this.#isBusy = false;
    }
  }

  close(reason: string): void {
    this.#connection?.close(reason);
  }

  /** For good, an attempt to connect included. */
  end(): void {
    this.#end.abort();
    this.close('closed');
  }

  async #connect(): Promise<DataConnection> {
    const connection = await DataConnection.open(this.address, this.#access, this.#end.signal);
    const { mode, isLoading } = connection.facts;
    if (mode !== 'cluster') {
      connection.close('of no use');
      throw wrongServer(`is not a node of a cluster: redis://${addressText(this.address)}`);
    }
    if (isLoading) {
      connection.close('of no use');
      throw asUnusable('is loading its data');
    }
    connection.watch(() => {
      if (!connection.isOpen && this.#connection === connection) {
        this.#connection = undefined;
        this.#view = undefined;
      }
      this.#onChanged();
    });
    return connection;
  }
}
