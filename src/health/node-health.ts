/**
 * Whether a node should get traffic. Decided in the keeper from what it sees itself, so that a hung worker cannot answer for the node.
 * Live: the keeper's event loop turns. Ready: active, not stopping, at least one worker serves and the store takes appends; with fewer
 * workers than slots the node works and says so. A standby is well and gets no traffic.
 */
import type { Role } from '../core/contracts/cluster.ts';
import type { Health } from '../core/contracts/health.ts';

export interface NodeFacts {
  readonly role: Role;
  /** Of a standby: what it waits for. */
  readonly roleReason: string;
  /** The node's term. */
  readonly term: number;
  readonly slots: number;
  readonly serving: number;
  readonly isStopping: boolean;
  /** It is active, and gives it up. */
  readonly isHandingOver: boolean;
  /** Why appends are refused; undefined: they are not. */
  readonly storeProblem: string | undefined;
}

const HANDING_OVER = 'the node hands over to another';

export function decideHealth(facts: NodeFacts): Health {
  const { role, roleReason, term, slots, serving, isStopping, isHandingOver, storeProblem } = facts;
  const health = (isReady: boolean, reason: string): Health => ({ isReady, role, term, reason });
  if (role === 'standby') return health(false, isStopping ? 'the node is stopping' : roleReason);
  if (isStopping) return health(false, 'the node is stopping');
  if (isHandingOver) return health(false, HANDING_OVER);
  if (serving === 0) return health(false, 'no worker serves');
  if (storeProblem !== undefined) return health(false, storeProblem);
  return health(true, serving === slots ? 'ok' : `${serving} of ${slots} workers serve`);
}
