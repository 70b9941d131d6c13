/**
 * How the nodes of one cluster reach each other over Redis, from any machine: messages on the sharded channel `{<prefix>}:peers` (peers-messages.ts).
 *
 * - What a node says of itself goes out when it changes and eight times per heartbeat time-out. Who is new asks the others for theirs.
 * - Messages are heard at most once; one that is lost costs the time to the next sign of life. A request that is lost fails by its time-out.
 * - `lost`: a peer said good-bye, or was silent for the time-out. Silence counts only up to the last of our OWN messages that we heard: if those do
 *   not come back either, it is we who hear nothing (no connection, a stall, no Redis), and nobody is lost.
 * - All of it is suspicion, never proof: leases decide. `fence` always rejects: nobody ends processes of another machine from here.
 *
 * Bounds: MESSAGE_BYTES_MAX per message, PEERS_MAX peers, REQUESTS_MAX requests at a time each way. Who may write to this Redis is trusted.
 */
import type { NodeFacts, PeerEvent, PeerNetwork, PeerRequest, PeerView } from '../../core/contracts/cluster.ts';
import type { Logger } from '../../core/contracts/telemetry.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import { inTime } from '../../core/in-time.ts';
import type { Clock, Timer } from '../../core/ports/clock.ts';
import {
  type AnswerMessage,
  asError,
  decodeMessage,
  encodeMessage,
  errorOf,
  type FactsMessage,
  type PeerMessage,
  type RequestMessage,
} from './peers-messages.ts';
import type { Shard } from './shard.ts';

export interface RedisPeersOptions {
  readonly catalog: Shard;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `name/incarnation` of this node, as a holder of leases. */
  readonly holder: string;
  readonly heartbeatTimeoutMs: number;
}

interface Peer extends PeerView {
  readonly facts: NodeFacts;
  readonly lastHeardMs: number;
}

interface OpenRequest {
  readonly holder: string;
  settle(answer: Pick<AnswerMessage, 'result' | 'error'>): void;
}

const BEATS_PER_TIMEOUT = 8;
const PEERS_MAX = 64;
const REQUESTS_MAX = 64;
const BYE_MS_MAX = 500;

export class RedisPeers implements PeerNetwork {
  readonly #options: RedisPeersOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #requests = new Map<number, OpenRequest>();
  readonly #stopListening: () => void;
  readonly #complaints = new Set<string>();
  #listeners: ((event: PeerEvent) => void)[] = [];
  #answer: (request: PeerRequest) => Promise<unknown> = () => Promise.reject(new TandemError('TANDEM_DRAINING'));
  #facts: NodeFacts | undefined;
  /** What is to be said when the last message is on its way. */
  #isDue = false;
  #isAsking = true;
  #telling: Promise<void> | undefined;
  /** Monotonic: when we last heard ourselves. */
  #lastEchoMs = Number.NEGATIVE_INFINITY;
  #requestCount = 0;
  #answering = 0;
  #timer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: RedisPeersOptions) {
    this.#options = options;
    this.#stopListening = options.catalog.subscribe('peers', (message) => {
      if (message !== undefined) this.#hear(message);
      else this.#ask();
    });
    this.#beatLater();
  }

  get peers(): readonly PeerView[] {
    return [...this.#peers.values()];
  }

  tell(facts: NodeFacts): void {
    this.#facts = facts;
    this.#say();
  }

  onEvent(listener: (event: PeerEvent) => void): void {
    this.#listeners.push(listener);
  }

  onRequest(answer: (request: PeerRequest) => Promise<unknown>): void {
    this.#answer = answer;
  }

  async request(peerName: string, request: PeerRequest, timeoutMs: number): Promise<unknown> {
    const peer = this.#latest(peerName);
    if (peer === undefined) throw lost(`there is no node ${JSON.stringify(peerName)}`);
    if (this.#requests.size >= REQUESTS_MAX)
      throw new TandemError('TANDEM_OVERLOADED', { detail: `${REQUESTS_MAX} requests to peers are open` });
    const { clock, holder: from } = this.#options;
    const id = ++this.#requestCount;
    const { holder } = peer.facts;
    const answered = Promise.withResolvers<unknown>();
    const settle: OpenRequest['settle'] = ({ result, error }) =>
      error === undefined ? answered.resolve(result) : answered.reject(asError(error));
    this.#requests.set(id, { holder, settle });
    const timer = clock.after(timeoutMs, () => settle({ error: lostError(`no answer within ${timeoutMs} ms`) }));
    this.#send({ kind: 'request', from, to: holder, id, request }).catch((error: unknown) =>
      settle({ error: lostError(asTandemError(error).message) }),
    );
    return answered.promise.finally(() => {
      timer.cancel();
      this.#requests.delete(id);
    });
  }

  fence({ name }: Pick<NodeFacts, 'name' | 'holder'>): Promise<void> {
    return Promise.reject(lost(`${name} may run on another machine: it cannot be ended from here`));
  }

  /** For a node that is dead and cannot say it itself. Errors: those of the store. */
  sayGone(holder: string): Promise<void> {
    return this.#send({ kind: 'bye', from: holder });
  }

  /** Says good-bye, within bounds. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { clock, holder } = this.#options;
    this.#timer?.cancel();
    this.#stopListening();
    for (const { settle } of [...this.#requests.values()]) settle({ error: lostError('this node stops') });
    if (this.#facts === undefined) return;
    const said = (this.#telling ?? Promise.resolve()).then(() => this.#send({ kind: 'bye', from: holder }));
    await inTime(clock, said, BYE_MS_MAX).catch(() => {});
  }

  // -------------------------------------------------------------- what it says

  #beatLater(): void {
    const { clock, heartbeatTimeoutMs } = this.#options;
    this.#timer = clock.after(heartbeatTimeoutMs / BEATS_PER_TIMEOUT, () => {
      this.#say();
      this.#forgetSilent();
      this.#beatLater();
    });
  }

  /** The others are to say theirs: we have missed something. */
  #ask(): void {
    this.#isAsking = true;
    this.#say();
  }

  /** One message at a time: what is to be said while it is on its way is said once, after it. */
  #say(): void {
    if (this.#facts === undefined || this.#closing !== undefined) return;
    this.#isDue = true;
    this.#telling ??= this.#sayWhileDue().finally(() => {
      this.#telling = undefined;
    });
  }

  async #sayWhileDue(): Promise<void> {
    while (this.#isDue && this.#facts !== undefined && this.#closing === undefined) {
      this.#isDue = false;
      const asks = this.#isAsking;
      this.#isAsking = false;
      const message = { kind: 'facts', from: this.#options.holder, facts: this.#facts } as const;
      // The next sign of life says it again.
      await this.#send(asks ? { ...message, asks } : message).catch(() => {
        this.#isAsking ||= asks;
      });
    }
  }

  async #send(message: PeerMessage): Promise<void> {
    const text = encodeMessage(message);
    if (text === undefined) {
      this.#complain('peer_message_too_large', { kind: message.kind });
      throw new TandemError('TANDEM_INTERNAL', { detail: 'a message to peers is too large' });
    }
    await this.#options.catalog.publish('peers', text);
  }

  // -------------------------------------------------------------- what it hears

  #hear(bytes: Buffer): void {
    const message = decodeMessage(bytes);
    if (message === undefined) {
      this.#complain('peer_message_dropped', { bytes: bytes.length });
      return;
    }
    const { holder } = this.#options;
    if (message.from === holder) {
      this.#lastEchoMs = this.#options.clock.monotonicMs();
      return;
    }
    switch (message.kind) {
      case 'facts':
        this.#hearFacts(message);
        return;
      case 'bye':
        this.#lose(message.from, 'it said good-bye');
        return;
      case 'request':
        if (message.to === holder) void this.#reply(message);
        return;
      case 'answer':
        if (message.to === holder && this.#requests.get(message.id)?.holder === message.from)
          this.#requests.get(message.id)?.settle(message);
        return;
    }
  }

  #hearFacts({ facts, asks }: FactsMessage): void {
    const known = this.#peers.get(facts.holder);
    if (known === undefined && this.#peers.size >= PEERS_MAX) {
      this.#complain('too_many_peers', { peersMax: PEERS_MAX });
      return;
    }
    const isNew = known === undefined || facts.serial > known.facts.serial;
    const peer = { facts: isNew ? facts : known.facts, lastHeardMs: this.#options.clock.monotonicMs() };
    this.#peers.set(facts.holder, peer);
    if (asks === true) this.#say();
    if (isNew) this.#emit('changed', peer);
  }

  #forgetSilent(): void {
    for (const [holder, { lastHeardMs }] of [...this.#peers])
      if (this.#lastEchoMs - lastHeardMs > this.#options.heartbeatTimeoutMs) this.#lose(holder, 'it is silent');
  }

  #lose(holder: string, why: string): void {
    const peer = this.#peers.get(holder);
    this.#peers.delete(holder);
    for (const request of [...this.#requests.values()])
      if (request.holder === holder) request.settle({ error: lostError(why) });
    if (peer !== undefined) this.#emit('lost', peer);
  }

  /** Of several incarnations of a node the one that was heard last. */
  #latest(name: string): Peer | undefined {
    let latest: Peer | undefined;
    for (const peer of this.#peers.values())
      if (peer.facts.name === name && (latest === undefined || peer.lastHeardMs >= latest.lastHeardMs)) latest = peer;
    return latest;
  }

  async #reply({ from: to, id, request }: RequestMessage): Promise<void> {
    const answer = { kind: 'answer', from: this.#options.holder, to, id } as const;
    this.#answering++;
    let message: AnswerMessage;
    try {
      if (this.#answering > REQUESTS_MAX) throw new TandemError('TANDEM_OVERLOADED');
      message = { ...answer, result: await this.#answer(request) };
    } catch (thrown) {
      message = { ...answer, error: errorOf(thrown) };
    } finally {
      this.#answering--;
    }
    // Who asked gives up by itself.
    await this.#send(message).catch(() => {});
  }

  #emit(kind: PeerEvent['kind'], peer: PeerView): void {
    for (const listener of this.#listeners) listener({ kind, peer });
  }

  /** Once of each kind. */
  #complain(event: string, fields: { readonly [name: string]: unknown }): void {
    if (this.#complaints.has(event)) return;
    this.#complaints.add(event);
    this.#options.logger.warn(event, fields);
  }
}

const lostError = (detail: string) => ({ code: 'TANDEM_PEER_LOST', detail }) as const;
const lost = (detail: string): TandemError => asError(lostError(detail));
