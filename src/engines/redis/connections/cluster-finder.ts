/**
 * Who is master of each slot of a cluster.
 *
 * Several nodes are asked, and for each slot the claim with the highest config epoch counts: epochs rise with every promotion and every slot
 * that was moved, so that one node which is behind, or was away, misleads nobody. They are asked every second, and in quick succession
 * while the master of a slot in use is away or silent, or a node answered that it is not the one to ask. A promoted replica claims its slots
 * as soon as it is elected.
 *
 * A slot's master is used if it says of itself that it is master. A silent one is left when another one's claim is known.
 */
import { delay, systemClock } from '../../../core/ports/clock.ts';
import type { RedisAddress } from '../../../core/redis-url.ts';
import { ClusterPeer } from './cluster-peer.ts';
import { bestClaim, type ClusterNode, parseClusterNodes } from './cluster-view.ts';
import type { DataConnection } from './data-connection.ts';
import { type FinderEvents, type FinderSettings, type MasterFinder, ServerTroubles } from './master-finder.ts';
import { addressText } from './server-connection.ts';
import { UnusableServer } from './unusable-server.ts';

const CALM_EVERY_MS = 1000;
const TROUBLED_EVERY_MS = 60;
/** An answer that sent a call elsewhere makes it look closely for so long. */
const DOUBT_MS = 1000;
/** Nodes asked at a time. */
const ASKED_MAX = 8;
/** In calm: nodes besides the masters in use. */
const ASKED_BESIDES = 1;

export class ClusterFinder implements MasterFinder {
  readonly kind = 'cluster';
  readonly #settings: FinderSettings;
  readonly #events: FinderEvents;
  readonly #troubles: ServerTroubles;
  readonly #end = new AbortController();
  readonly #peers = new Map<string, ClusterPeer>();
  /** Of the slots in use; undefined while nobody serves it. */
  readonly #masters = new Map<number, DataConnection | undefined>();
  #wake = new AbortController();
  #doubtUntilMs = 0;

  constructor(settings: FinderSettings, events: FinderEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#troubles = new ServerTroubles(settings.logger, events.onRefused);
    for (const address of settings.url.addresses) this.#addPeer(address);
    void this.#run();
  }

  get trouble(): string {
    return this.#troubles.last;
  }

  master(slot: number): DataConnection | undefined {
    if (!this.#masters.has(slot)) {
      this.#masters.set(slot, undefined);
      // Not within the question: the answer is the present state.
      queueMicrotask(() => this.#decide());
    }
    return this.#masters.get(slot);
  }

  doubt(): void {
    this.#doubtUntilMs = performance.now() + DOUBT_MS;
    this.#wake.abort();
  }

  async identity({ facts, calls }: DataConnection): Promise<string> {
    const nodes = parseClusterNodes(String(await calls.send(['CLUSTER', 'NODES'])), calls.address, false);
    const masters = nodes.filter(({ isMaster, slots }) => isMaster && slots.length > 0).length;
    const replicas = nodes.filter(({ isMaster, isWell }) => !isMaster && isWell).length;
    return `${facts.product} ${facts.version} cluster (${masters} masters, ${replicas} replicas)`;
  }

  close(): void {
    this.#end.abort();
    this.#wake.abort();
    for (const peer of this.#peers.values()) peer.end();
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      const isTroubled = this.#isTroubled();
      for (const peer of this.#whomToAsk(isTroubled)) void this.#ask(peer);
      if (!isTroubled) this.#dismissIdle();
      this.#wake = new AbortController();
      if (isTroubled) await delay(systemClock, TROUBLED_EVERY_MS, signal).catch(() => {});
      else await delay(systemClock, CALM_EVERY_MS, this.#wake.signal).catch(() => {});
    }
  }

  #isTroubled(): boolean {
    if (performance.now() < this.#doubtUntilMs || !this.#hasView()) return true;
    return [...this.#masters.values()].some((master) => master === undefined || master.isSuspected);
  }

  /** The masters in use first; then, in calm, those to whom there are connections, else all in turn. */
  #whomToAsk(isTroubled: boolean): ClusterPeer[] {
    const inUse = this.#inUse();
    const isInUse = ({ connection }: ClusterPeer): boolean => connection !== undefined && inUse.has(connection);
    const peers = [...this.#peers.values()];
    const others = peers.filter((peer) => !isInUse(peer));
    if (isTroubled) for (const peer of others.slice(0, ASKED_MAX)) this.#moveBack(peer);
    else others.sort((a, b) => Number(b.connection !== undefined) - Number(a.connection !== undefined));
    const asked = [...peers.filter(isInUse), ...(isTroubled ? others : others.slice(0, ASKED_BESIDES))];
    return asked.slice(0, ASKED_MAX);
  }

  #moveBack(peer: ClusterPeer): void {
    const key = addressText(peer.address);
    this.#peers.delete(key);
    this.#peers.set(key, peer);
  }

  async #ask(peer: ClusterPeer): Promise<void> {
    const answer = await peer.ask();
    if (this.#end.signal.aborted || answer === false) return;
    if (answer === true) {
      this.#troubles.fine(peer.address);
      this.#learn(peer.view ?? []);
      this.#decide();
    } else this.#report(peer, answer);
  }

  #report({ address }: ClusterPeer, problem: UnusableServer): void {
    // One that is set up wrongly stands in nobody's way while others answer.
    const { message, code } = problem;
    this.#troubles.report(address, this.#hasView() ? new UnusableServer(message, { code }) : problem);
  }

  /** Nodes that joined, and that are no longer there. */
  #learn(view: readonly ClusterNode[]): void {
    for (const { address } of view) this.#addPeer(address);
    const known = new Set(
      [
        ...this.#settings.url.addresses,
        ...this.#views()
          .flat()
          .map((node) => node.address),
      ].map(addressText),
    );
    for (const [key, peer] of this.#peers)
      if (!known.has(key) && peer.connection === undefined) {
        peer.end();
        this.#peers.delete(key);
      }
  }

  #addPeer(address: RedisAddress): void {
    const key = addressText(address);
    if (address.host === '' || this.#peers.has(key)) return;
    this.#peers.set(key, new ClusterPeer(address, this.#settings.access, () => this.#onPeerChanged()));
  }

  #onPeerChanged(): void {
    if (this.#end.signal.aborted) return;
    this.#decide();
    this.#events.onChanged();
    this.#wake.abort();
  }

  /** Assigns each slot in use to whoever has the best claim and can be used. */
  #decide(): void {
    if (this.#end.signal.aborted) return;
    const claimants = new Set<ClusterPeer>();
    const views = this.#views();
    let isChanged = false;
    for (const [slot, before] of this.#masters) {
      const claim = bestClaim(views, slot);
      const peer = claim === undefined ? undefined : this.#peers.get(addressText(claim.address));
      if (peer !== undefined) claimants.add(peer);
      const master = peer === undefined ? openOf(before) : peer.master;
      if (master !== undefined && claim !== undefined) master.configEpoch = claim.configEpoch;
      else if (master === undefined && peer !== undefined && peer.connection === undefined) void this.#ask(peer);
      if (master === before) continue;
      this.#masters.set(slot, master);
      isChanged = true;
    }
    if (isChanged) this.#events.onChanged();
    // What was sent to a silent one that serves nothing any more is not waited for.
    for (const peer of this.#peers.values())
      if (peer.connection?.isSuspected === true && !claimants.has(peer)) peer.close('is superseded');
  }

  #views(): (readonly ClusterNode[])[] {
    return [...this.#peers.values()].flatMap(({ view }) => (view === undefined ? [] : [view]));
  }

  #inUse(): ReadonlySet<DataConnection | undefined> {
    return new Set(this.#masters.values());
  }

  #hasView(): boolean {
    return this.#views().length > 0;
  }

  /** In calm, connections are kept to the masters in use and to the few who are asked besides. */
  #dismissIdle(): void {
    const inUse = this.#inUse();
    const idle = [...this.#peers.values()].filter(
      ({ connection }) => connection !== undefined && !inUse.has(connection),
    );
    for (const peer of idle.slice(ASKED_BESIDES)) peer.close('idle');
  }
}

const openOf = (connection: DataConnection | undefined): DataConnection | undefined =>
  connection?.isOpen === true ? connection : undefined;
