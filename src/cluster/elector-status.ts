/** What the elector tells people of itself. Plain data. */
import type { NodeFacts, Role } from '../core/contracts/cluster.ts';
import type { ElectorOptions } from './elector-options.ts';
import type { PeerBook } from './peer-book.ts';
import type { Phase, Transition } from './role-changes.ts';
import type { Standing } from './standing.ts';
import type { Tenure } from './tenure.ts';

export interface PeerStatus {
  readonly facts: NodeFacts;
  readonly silentMs: number;
  readonly isLost: boolean;
}

export interface ElectorStatus {
  readonly role: Role;
  readonly phase: Phase;
  readonly term: number;
  /** Unix ms. */
  readonly sinceMs: number;
  readonly isReady: boolean;
  readonly reason: string;
  readonly peers: readonly PeerStatus[];
  readonly antiFlap: {
    readonly takeoversInWindow: number;
    /** How long it would wait before an unplanned takeover now. */
    readonly delayMs: number;
    readonly reason: string;
  };
  /** The latest, oldest first. */
  readonly transitions: readonly Transition[];
}

export function statusOf(
  { clock, timers }: ElectorOptions,
  standing: Standing,
  book: PeerBook,
  tenure: Tenure,
): ElectorStatus {
  const { role, term, sinceMs, isReady, reason } = standing.facts;
  const takeoversInWindow = tenure.takeovers(clock.nowMs()).length;
  const delayMs = tenure.waitMs(clock.nowMs());
  const count = `${takeoversInWindow} of ${timers.takeoversMax} takeovers in ${timers.takeoverWindowMs} ms`;
  return {
    role,
    phase: standing.phase,
    term,
    sinceMs,
    isReady,
    reason,
    peers: book.all.map((peer) => ({
      facts: peer.facts,
      silentMs: book.silentMs(peer, clock.monotonicMs()),
      isLost: peer.isLost,
    })),
    antiFlap: { takeoversInWindow, delayMs, reason: delayMs === 0 ? count : `${count}: the next one waits` },
    transitions: standing.transitions,
  };
}
