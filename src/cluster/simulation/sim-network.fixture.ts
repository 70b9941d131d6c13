/**
 * Peers over links that have a direction each: slow, cut one way or both, broken with and without a word. What a node says arrives in order.
 * Heartbeats are not events: when a node last heard another follows from when that lived, ran and had its link.
 */
import type { NodeFacts, PeerEvent, PeerNetwork, PeerRequest, PeerView } from '../../core/contracts/cluster.ts';
import { asTandemError, TandemError } from '../../core/errors.ts';
import type { Random } from '../../core/ports/random.ts';
import type { Scheduler, SimProcess } from './scheduler.fixture.ts';

interface Endpoint {
  readonly process: SimProcess;
  facts: NodeFacts | undefined;
  onEvent: ((event: PeerEvent) => void) | undefined;
  answer: ((request: PeerRequest) => Promise<unknown>) | undefined;
  readonly views: Map<string, SimView>;
}

interface SimView extends PeerView {
  lastHeardMs: number;
  readonly facts: NodeFacts;
  /** Real time of the first word of this incarnation. */
  readonly sinceMs: number;
}

interface Link {
  isUp: boolean;
  /** Until when the listener heard the speaker, while it does not. */
  heardUntilMs: number;
  /** What is on its way must not be overtaken. */
  arrivalMs: number;
}

export type Fence = (observer: SimProcess, holder: string) => Promise<void>;

const LINK_MS_MAX = 3;
/** A broken link is noticed within this. */
const LOST_MS_MAX = 15;

export class SimNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #fence: Fence;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #links = new Map<string, Link>();
  /** How long a message travels at most. */
  #delayMsMax = LINK_MS_MAX;
  /** The longest that it ever was in this run: what was sent then may still be on its way. */
  slowestMs = LINK_MS_MAX;

  constructor(scheduler: Scheduler, random: Random, fence: Fence) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#fence = fence;
  }

  set delayMsMax(delayMs: number) {
    this.#delayMsMax = delayMs;
    this.slowestMs = Math.max(this.slowestMs, delayMs);
  }

  join(process: SimProcess): PeerNetwork {
    const endpoint: Endpoint = { process, facts: undefined, onEvent: undefined, answer: undefined, views: new Map() };
    this.#endpoints.set(process.name, endpoint);
    const views = (): readonly PeerView[] => this.#heard(endpoint);
    return {
      get peers() {
        return views();
      },
      tell: (facts) => {
        const isFirst = endpoint.facts === undefined;
        endpoint.facts = facts;
        for (const other of this.#endpoints.values()) {
          if (other === endpoint) continue;
          this.#deliver(endpoint, other);
          if (isFirst) this.#deliver(other, endpoint);
        }
      },
      onEvent: (listener) => {
        endpoint.onEvent = listener;
      },
      onRequest: (answer) => {
        endpoint.answer = answer;
      },
      request: (peerName, request, timeoutMs) => this.#request(endpoint, peerName, request, timeoutMs),
      fence: ({ holder }) => this.#fence(process, holder),
    };
  }

  /** It goes on after a stop: who joined meanwhile, or has a link again, hears of it. */
  wentOn(process: SimProcess): void {
    const speaker = this.#endpoints.get(process.name);
    for (const other of this.#endpoints.values())
      if (speaker !== undefined && speaker !== other && other.views.get(process.name)?.facts !== speaker.facts)
        this.#deliver(speaker, other);
  }

  /** As if the process told this. */
  say(process: SimProcess, facts: NodeFacts): void {
    const speaker = this.#endpoints.get(process.name);
    if (speaker === undefined) return;
    speaker.facts = facts;
    for (const other of this.#endpoints.values()) if (other !== speaker) this.#deliver(speaker, other);
  }

  /** The process has died: its peers hear that its links break, if they heard it at all. */
  died(process: SimProcess): void {
    this.silent(process);
    const dead = this.#endpoints.get(process.name);
    if (dead?.process !== process) return;
    for (const other of this.#endpoints.values())
      if (other !== dead && this.#link(process.name, other.process.name).isUp) this.#break(process, other);
  }

  /** From now on nobody hears it: it stops, or dies. */
  silent(process: SimProcess): void {
    for (const other of this.#endpoints.values()) {
      const link = this.#link(process.name, other.process.name);
      if (link.isUp) link.heardUntilMs = this.#scheduler.nowMs;
    }
  }

  /** What `from` says does not reach `to` any more. With `isNoticed` the link breaks in both eyes. */
  cut(from: string, to: string, isNoticed: boolean): void {
    const link = this.#link(from, to);
    const speaker = this.#endpoints.get(from);
    const listener = this.#endpoints.get(to);
    if (!link.isUp) return;
    if (speaker !== undefined && isHeard(speaker.process)) link.heardUntilMs = this.#scheduler.nowMs;
    link.isUp = false;
    if (isNoticed && speaker !== undefined && listener !== undefined) this.#break(speaker.process, listener);
  }

  /** Whether somebody does not hear it. */
  isCut(name: string): boolean {
    for (const [names, { isUp }] of this.#links) if (!isUp && names.startsWith(`${name}>`)) return true;
    return false;
  }

  heal(): void {
    for (const [names, link] of this.#links) {
      if (link.isUp) continue;
      link.isUp = true;
      const [from = '', to = ''] = names.split('>');
      const speaker = this.#endpoints.get(from);
      const listener = this.#endpoints.get(to);
      if (speaker === undefined || listener === undefined) continue;
      if (!speaker.process.isAlive) this.#break(speaker.process, listener);
      else this.#deliver(speaker, listener);
    }
  }

  #link(from: string, to: string): Link {
    const names = `${from}>${to}`;
    let link = this.#links.get(names);
    if (link === undefined) {
      link = { isUp: true, heardUntilMs: 0, arrivalMs: 0 };
      this.#links.set(names, link);
    }
    return link;
  }

  #delayMs(maxMs: number): number {
    return 0.05 + this.#random.fraction() ** 2 * maxMs;
  }

  #deliver(speaker: Endpoint, listener: Endpoint): void {
    const { facts, process } = speaker;
    const link = this.#link(process.name, listener.process.name);
    // What it would say to one that joins while it is stopped, it says when it goes on.
    if (facts === undefined || !isHeard(process) || !link.isUp) return;
    link.arrivalMs = Math.max(link.arrivalMs, this.#scheduler.nowMs + this.#delayMs(this.#delayMsMax));
    this.#scheduler.at(link.arrivalMs, listener.process, () => {
      const before = listener.views.get(process.name);
      const sinceMs = before?.facts.holder === facts.holder ? before.sinceMs : this.#scheduler.nowMs;
      const view = { facts, lastHeardMs: 0, sinceMs };
      listener.views.set(process.name, view);
      this.#measure(listener, view);
      listener.onEvent?.({ kind: 'changed', peer: view });
    });
  }

  #break(speaker: SimProcess, listener: Endpoint): void {
    this.#scheduler.after(this.#delayMs(LOST_MS_MAX), listener.process, () => {
      const view = listener.views.get(speaker.name);
      if (view?.facts.holder !== speaker.holder) return;
      // They have found each other again meanwhile.
      if (speaker.isAlive && this.#link(speaker.name, listener.process.name).isUp) return;
      this.#measure(listener, view);
      listener.views.delete(speaker.name);
      listener.onEvent?.({ kind: 'lost', peer: view });
    });
  }

  #heard(listener: Endpoint): readonly PeerView[] {
    const views = [...listener.views.values()];
    for (const view of views) this.#measure(listener, view);
    return views;
  }

  #measure({ process }: Endpoint, view: SimView): void {
    const { name, holder } = view.facts;
    const link = this.#link(name, process.name);
    const speaker = this.#endpoints.get(name)?.process;
    const isUp = link.isUp && speaker?.holder === holder && isHeard(speaker);
    const heardMs = Math.min(isUp ? this.#scheduler.nowMs : link.heardUntilMs, process.readUntilMs);
    view.lastHeardMs = process.monotonicMs(Math.max(heardMs, view.sinceMs));
  }

  #request(asker: Endpoint, name: string, request: PeerRequest, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(new TandemError('TANDEM_PEER_LOST', { detail: name }));
      asker.process.clock.after(timeoutMs, lost);
      const asked = this.#endpoints.get(name);
      if (asked === undefined || !asked.process.isAlive) return lost();
      const reply = (settle: () => void): void => {
        if (!this.#link(name, asker.process.name).isUp) return;
        this.#scheduler.after(this.#delayMs(this.#delayMsMax), asker.process, settle);
      };
      if (!this.#link(asker.process.name, name).isUp) return;
      this.#scheduler.after(this.#delayMs(this.#delayMsMax), asked.process, () => {
        asked.answer?.(request).then(
          (result) => reply(() => resolve(result)),
          (error) => reply(() => reject(asTandemError(error))),
        );
      });
    });
  }
}

const isHeard = (speaker: SimProcess): boolean => speaker.isAlive && !speaker.isStopped;
