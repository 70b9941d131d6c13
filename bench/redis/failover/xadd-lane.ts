/**
 * Plain Redis: one XADD per record into a stream of its own, all that is due in one pipeline; with WAIT, a group counts as acknowledged when
 * one replica has it. What was sent and not answered is not sent again: a client of plain Redis could not know whether it is stored.
 */
import { createClient } from '@redis/client';
import { Lane, type LaneOptions, recordOf } from './lane.ts';
import { type Address, type MasterLookup, masterOf, saidMasterOf } from './master-lookup.ts';

const PING_INTERVAL_MS = 500;
const SOCKET_TIMEOUT_MS = 1000;
/** Between questions whether it is the master still. */
const CHECK_MS = 200;
const WAIT_MS = 1000;
/** More is not in flight; what would be due meanwhile is left out. */
const IN_FLIGHT_MAX = 1000;

export const streamOf = (lane: string): string => `stream:${lane}`;

const newClient = (address: Address) =>
  createClient({
    socket: {
      ...address,
      reconnectStrategy: false,
      connectTimeout: SOCKET_TIMEOUT_MS,
      socketTimeout: SOCKET_TIMEOUT_MS,
    },
    pingInterval: PING_INTERVAL_MS,
    disableOfflineQueue: true,
  });
type Client = ReturnType<typeof newClient>;

export interface XaddLaneOptions extends LaneOptions {
  readonly lookup: MasterLookup;
}

export class XaddLane extends Lane {
  readonly #lookup: MasterLookup;
  readonly #key: string;
  /** Once it is greeted. */
  #client: Client | undefined;
  /** Ends the current connection. */
  #leave: () => void = () => {};
  #inFlight = 0;

  constructor(options: XaddLaneOptions) {
    super(options);
    this.#lookup = options.lookup;
    this.#key = streamOf(options.log.name);
  }

  protected override get isSettled(): boolean {
    return this.#inFlight === 0;
  }

  protected override send(count: number): void {
    const client = this.#client;
    if (client?.isReady !== true) return;
    const { name, kind } = this.log;
    // WAIT holds up what comes after it on the connection.
    const room = kind === 'wait' && this.#inFlight > 0 ? 0 : IN_FLIGHT_MAX - this.#inFlight;
    const sequences = Array.from({ length: Math.min(count, room) }, () => this.log.send());
    if (sequences.length === 0) return;
    this.#inFlight += sequences.length;
    const added = sequences.map((sequence) =>
      client.sendCommand(['XADD', this.#key, '*', 'd', recordOf(name, sequence)]),
    );
    if (kind === 'wait') void this.#settleGroup(client, sequences, added);
    else sequences.forEach((sequence, i) => void this.#settle(client, sequence, added[i] as Promise<unknown>));
  }

  protected override disconnect(): void {
    this.#leave();
  }

  protected override async converse(): Promise<void> {
    const address = await masterOf(this.#lookup, this.#key);
    if (address === undefined || this.isStopping) return;
    const client = newClient(address);
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    this.#leave = leave;
    client.on('error', () => leave());
    // A server that hangs accepts a connection and never greets.
    const watchdog = setTimeout(leave, SOCKET_TIMEOUT_MS);
    await Promise.race([client.connect().catch(() => leave()), left]);
    clearTimeout(watchdog);
    this.#client = client;
    // As clients do that listen to +switch-master: not for long to an old master that was hung and knows of nothing.
    const watch = setInterval(() => void this.#leaveUnless(address, leave), CHECK_MS);
    await left;
    clearInterval(watch);
    this.#client = undefined;
    if (client.isOpen) client.destroy();
  }

  async #leaveUnless({ port }: Address, leave: () => void): Promise<void> {
    const said = await saidMasterOf(this.#lookup, this.#key).catch(() => undefined);
    if (said !== undefined && said.port !== port) leave();
  }

  async #settle(client: Client, sequence: number, added: Promise<unknown>): Promise<void> {
    try {
      await added;
      this.log.ack(sequence);
    } catch {
      this.log.refused++;
      if (client === this.#client) this.#leave();
    }
    this.#inFlight--;
  }

  async #settleGroup(client: Client, sequences: readonly number[], added: readonly Promise<unknown>[]): Promise<void> {
    const waited = client.sendCommand(['WAIT', '1', `${WAIT_MS}`]);
    const results = await Promise.allSettled([...added, waited]);
    const isGood = results.every(({ status }) => status === 'fulfilled');
    if (isGood && Number(await waited) >= 1) for (const sequence of sequences) this.log.ack(sequence);
    else this.log.refused += sequences.length;
    if (!isGood && client === this.#client) this.#leave();
    this.#inFlight -= sequences.length;
  }
}
