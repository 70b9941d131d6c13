/**
 * What this node knows of its peers, and for how long each has been silent.
 *
 * Silence is measured only while our own event loop turns: after a stall of our own (SIGSTOP, a suspended or starved machine) everybody
 * gets a fresh start, since what they said lies unread. Peers stay known after their link broke: silence without a link counts too.
 */
import type { NodeFacts, PeerView } from '../core/contracts/cluster.ts';

/** Of those whose link is gone the one unheard for longest is forgotten. */
const PEERS_MAX = 64;

export interface KnownPeer {
  facts: NodeFacts;
  lastHeardMs: number;
  /** Its link is broken. */
  isLost: boolean;
  /** Monotonic ms since when it has said that it is ready, in its role. */
  readySinceMs: number;
}

export class PeerBook {
  readonly #byName = new Map<string, KnownPeer>();
  /** Silence before this moment proves nothing. */
  #freshMs = 0;
  /** Who holds the lease without ever having spoken to us. */
  #stranger: { holder: string; sinceMs: number } | undefined;

  /** A moment from which on silence counts anew, for all. */
  freshStart(nowMs: number): void {
    this.#freshMs = nowMs;
  }

  /** Takes what the network last heard. Returns whether the peer said something new. */
  heard({ facts, lastHeardMs }: PeerView): boolean {
    const known = this.#byName.get(facts.name);
    if (known === undefined) {
      this.#byName.set(facts.name, { facts, lastHeardMs, isLost: false, readySinceMs: lastHeardMs });
      if (this.#byName.size > PEERS_MAX) this.#forgetOne();
      return true;
    }
    const before = known.facts;
    const isSameNode = before.holder === facts.holder;
    // What is left of an earlier incarnation may be seen beside the present one for a moment.
    if (!isSameNode && !known.isLost && lastHeardMs <= known.lastHeardMs) return false;
    known.isLost = false;
    known.lastHeardMs = isSameNode ? Math.max(known.lastHeardMs, lastHeardMs) : lastHeardMs;
    if (isSameNode && facts.serial <= before.serial) return false;
    known.facts = facts;
    if (!isReadyAs(before, facts)) known.readySinceMs = lastHeardMs;
    return true;
  }

  lost(name: string, holder: string): void {
    const known = this.#byName.get(name);
    // The link of an earlier incarnation may break after the next one has joined.
    if (known?.facts.holder === holder) known.isLost = true;
  }

  get all(): readonly KnownPeer[] {
    return [...this.#byName.values()];
  }

  silentMs(peer: KnownPeer, nowMs: number): number {
    return nowMs - Math.max(peer.lastHeardMs, this.#freshMs);
  }

  /** The peer that says that it is active, the one of the highest term. */
  active(): KnownPeer | undefined {
    let active: KnownPeer | undefined;
    for (const peer of this.#byName.values())
      if (peer.facts.role === 'active' && (active === undefined || peer.facts.term > active.facts.term)) active = peer;
    return active;
  }

  /** Ready standbys with a link, the one that has been ready longest first. */
  readyStandbys(): KnownPeer[] {
    return this.all
      .filter(({ facts, isLost }) => !isLost && facts.role === 'standby' && facts.isReady)
      .sort((a, b) => a.readySinceMs - b.readySinceMs || (a.facts.name < b.facts.name ? -1 : 1));
  }

  /** For how long a holder of the lease has been silent, and whether it ever spoke to us. */
  holderSilence(holder: string, nowMs: number): { silentMs: number; isStranger: boolean } {
    for (const peer of this.#byName.values())
      if (peer.facts.holder === holder) return { silentMs: this.silentMs(peer, nowMs), isStranger: false };
    if (this.#stranger?.holder !== holder) this.#stranger = { holder, sinceMs: nowMs };
    return { silentMs: nowMs - Math.max(this.#stranger.sinceMs, this.#freshMs), isStranger: true };
  }

  #forgetOne(): void {
    const lost = this.all.filter(({ isLost }) => isLost).sort((a, b) => a.lastHeardMs - b.lastHeardMs)[0];
    if (lost !== undefined) this.#byName.delete(lost.facts.name);
  }
}

const isReadyAs = (before: NodeFacts, now: NodeFacts): boolean =>
  before.isReady && now.isReady && before.role === now.role && before.holder === now.holder;
