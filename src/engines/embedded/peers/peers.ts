/** The processes that have other slots: one client for each that is needed, and the server for what they ask. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../../core/contracts/telemetry.ts';
import type { Clock } from '../../../core/ports/clock.ts';
import { socketFolder } from '../../../core/ports/local-sockets.ts';
import type { OwnerStore } from './owner-store.ts';
import { PeerClient } from './peer-client.ts';
import { PeerServer } from './peer-server.ts';

export interface PeersOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What others may ask of this process; undefined: nothing. */
  readonly server: { readonly slot: number; readonly own: () => OwnerStore } | undefined;
  readonly term: { readonly own: number };
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #clients = new Map<number, PeerClient>();
  readonly #server: PeerServer | undefined;
  #folder: string | undefined;

  /** Whoever serves holds the slot's lock. */
  constructor(options: PeersOptions) {
    this.#options = options;
    if (options.server === undefined) return;
    const { slot, own } = options.server;
    const path = this.#pathOf(slot);
    rmSync(path, { force: true });
    this.#server = new PeerServer({ ...options, own, path });
  }

  get requests(): number {
    let requests = 0;
    for (const client of this.#clients.values()) requests += client.requests;
    return requests;
  }

  store(slot: number): OwnerStore {
    let client = this.#clients.get(slot);
    if (client === undefined) {
      client = new PeerClient(slot, this.#pathOf(slot), this.#options.clock, this.#options.term);
      this.#clients.set(slot, client);
    }
    return client;
  }

  /** Other processes have the slots now: what was asked is rejected with TANDEM_OWNER_UNAVAILABLE, and watches end. */
  giveUp(): void {
    for (const client of this.#clients.values()) client.giveUp();
    this.#clients.clear();
  }

  /** Resolves when what this process has asked and what it was asked is answered; nothing new is taken. */
  async drain(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.idle()));
    await this.#server?.drain();
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#server?.close();
  }

  #pathOf(slot: number): string {
    this.#folder ??= socketFolder(this.#options.dataDir);
    return join(this.#folder, `slot-${slot}.sock`);
  }
}
