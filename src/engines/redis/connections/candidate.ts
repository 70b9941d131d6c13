/** A server that may be or become master: connected to once and asked again and again, which is quicker than connecting again. */

import type { RedisAddress } from '../../../core/redis-url.ts';
import { DataConnection } from './data-connection.ts';
import type { ServerAccess } from './server-connection.ts';
import { asUnusable, type UnusableServer } from './unusable-server.ts';

export class Candidate {
  readonly address: RedisAddress;
  readonly #access: ServerAccess;
  readonly #end = new AbortController();
  #connection: DataConnection | undefined;
  #isBusy = false;

  constructor(address: RedisAddress, access: ServerAccess) {
    this.address = address;
    this.#access = access;
  }

  /** What it says of itself now; undefined while an earlier question is open. */
  async look(): Promise<DataConnection | UnusableServer | undefined> {
    if (this.#isBusy) return undefined;
    this.#isBusy = true;
    try {
      if (this.#connection?.isOpen === true && !this.#connection.facts.isLoading)
        await this.#connection.askReplication();
      else {
        this.#connection?.close('of no use');
        this.#connection = await DataConnection.open(this.address, this.#access, this.#end.signal);
      }
      return this.#connection;
    } catch (error) {
      return asUnusable(error);
    } finally {
      this.#isBusy = false;
    }
  }

  /** The connection is the caller's from now on. */
  take(): DataConnection | undefined {
    const connection = this.#connection;
    this.#connection = undefined;
    return connection;
  }

  close(): void {
    this.#end.abort();
    this.#connection?.close('of no use');
  }
}
