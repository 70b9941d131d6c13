/** What can change about a node's role, and the latest changes. */
import type { Role } from '../core/contracts/cluster.ts';

/** standby and active are the two roles at rest; the others lie between them. */
export type Phase = 'standby' | 'acquiring' | 'promoting' | 'active' | 'handing-over' | 'cutting' | 'stopped';

/** A change of role, of this node or, as it announced it, of a peer. */
export interface Transition {
  /** Unix ms. */
  readonly atMs: number;
  /** The node's name. */
  readonly who: string;
  readonly from: Role;
  readonly to: Role;
  /** The term that began or ended. */
  readonly term: number;
  readonly why: string;
  /** From the grant until it served, or from the decision until nothing could write; null: a peer's. */
  readonly tookMs: number | null;
}

const TRANSITIONS_MAX = 50;

export class TransitionList {
  readonly #transitions: Transition[] = [];

  add(transition: Transition): void {
    this.#transitions.push(transition);
    if (this.#transitions.length > TRANSITIONS_MAX) this.#transitions.shift();
  }

  get latest(): readonly Transition[] {
    return [...this.#transitions];
  }
}
