/**
 * How the keepers of nodes that share a data folder reach each other: every two of them have a Unix socket between them. It closes within
 * milliseconds of either's death, which is how the other nodes hear of it; beats over it show that the event loop behind it turns.
 *
 * A node connects to all that it finds in the registry, at its start and from time to time; two that start at once may have two
 * connections, which does no harm. Neither closing nor silence proves anything: locks and processes do.
 */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { NodeFacts, PeerEvent, PeerNetwork, PeerRequest, PeerView } from '../core/contracts/cluster.ts';
import { TandemError } from '../core/errors.ts';
import { NodeLink } from './node-link.ts';
import { holderOf, type NodeId, type NodeRegistry, nodeOf } from './node-registry.ts';

const LOOK_ROUND_MS = 500;
/** So many beats fit into the heartbeat time-out. */
const BEATS_PER_TIMEOUT = 10;

export interface NodeLinksOptions {
  readonly registry: NodeRegistry;
  readonly self: NodeId;
  readonly heartbeatTimeoutMs: number;
}

export class NodeLinks implements PeerNetwork {
  readonly #options: NodeLinksOptions;
  readonly #links = new Set<NodeLink>();
  /** Holders that a connection is being made to. */
  readonly #connecting = new Set<string>();
  readonly #server: Server;
  readonly #timers: readonly NodeJS.Timeout[];
  #facts: NodeFacts | undefined;
  #listeners: ((event: PeerEvent) => void)[] = [];
  #answer: (request: PeerRequest) => Promise<unknown> = () => Promise.reject(new TandemError('TANDEM_DRAINING'));
  #isClosed = false;

  /** Others can connect from here on. The caller has the exclusive right to the node's name. */
  constructor(options: NodeLinksOptions) {
    this.#options = options;
    const { registry, self, heartbeatTimeoutMs } = options;
    const path = registry.socketPath(self);
    rmSync(path, { force: true });
    this.#server = createServer((socket) => this.#open(socket)).listen(path);
    // An accept that fails (no descriptors left) must not end the keeper.
    this.#server.on('error', () => {});
    this.#timers = [
      setInterval(() => this.#beat(), heartbeatTimeoutMs / BEATS_PER_TIMEOUT),
      setInterval(() => this.#lookRound(), LOOK_ROUND_MS),
    ];
  }

  /** One view of each node, however many connections it has. */
  get peers(): readonly PeerView[] {
    const views = new Map<string, PeerView>();
    for (const link of this.#links) {
      const view = viewOf(link);
      const earlier = view && views.get(view.facts.holder);
      if (view !== undefined && (earlier === undefined || earlier.lastHeardMs < view.lastHeardMs))
        views.set(view.facts.holder, view);
    }
    return [...views.values()];
  }

  tell(facts: NodeFacts): void {
    const isFirst = this.#facts === undefined;
    this.#facts = facts;
    for (const link of this.#links) link.tell(facts);
    if (isFirst) this.#lookRound();
  }

  onEvent(listener: (event: PeerEvent) => void): void {
    this.#listeners.push(listener);
  }

  onRequest(answer: (request: PeerRequest) => Promise<unknown>): void {
    this.#answer = answer;
  }

  async request(peerName: string, request: PeerRequest, timeoutMs: number): Promise<unknown> {
    const link = [...this.#links].find(({ facts }) => facts?.name === peerName);
    if (link === undefined)
      throw new TandemError('TANDEM_PEER_LOST', { detail: `there is no node ${JSON.stringify(peerName)}` });
    return link.request(request, timeoutMs);
  }

  async fence({ holder }: Pick<NodeFacts, 'name' | 'holder'>): Promise<void> {
    await this.#options.registry.rollOf(nodeOf(holder)).endAll();
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.close();
    for (const link of [...this.#links]) link.close();
  }

  #beat(): void {
    for (const link of this.#links) link.beat();
  }

  #lookRound(): void {
    const { registry, self } = this.#options;
    if (this.#facts === undefined || this.#isClosed) return;
    const known = new Set([...this.#links].map(({ facts }) => facts?.holder));
    for (const node of registry.list()) {
      const holder = holderOf(node);
      if (holder === holderOf(self) || known.has(holder) || this.#connecting.has(holder)) continue;
      this.#connecting.add(holder);
      const socket = connect(registry.socketPath(node));
      // Most entries that nobody answers at are of nodes that have ended.
      socket.once('error', () => this.#connecting.delete(holder));
      socket.once('connect', () => this.#open(socket));
      socket.once('close', () => this.#connecting.delete(holder));
    }
  }

  #open(socket: Socket): void {
    if (this.#isClosed) return void socket.destroy();
    const link = new NodeLink(socket, {
      onFacts: (changed) => this.#emit('changed', changed),
      onClose: (closed) => this.#closed(closed),
      answer: (request) => this.#answer(request),
    });
    this.#links.add(link);
    if (this.#facts !== undefined) link.tell(this.#facts);
  }

  #closed(link: NodeLink): void {
    this.#links.delete(link);
    const isLast = [...this.#links].every(({ facts }) => facts?.holder !== link.facts?.holder);
    if (isLast && !this.#isClosed) this.#emit('lost', link);
  }

  #emit(kind: PeerEvent['kind'], link: NodeLink): void {
    const peer = viewOf(link);
    if (peer !== undefined) for (const listener of this.#listeners) listener({ kind, peer });
  }
}

function viewOf({ facts, lastHeardMs }: NodeLink): PeerView | undefined {
  return facts === undefined ? undefined : { facts, lastHeardMs };
}
