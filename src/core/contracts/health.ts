/** Whether this node should get traffic, as `/livez` and `/readyz` answer it. Decided by the keeper, known to every worker. */
export interface Health {
  /** Traffic may come: at least one worker serves and the store takes appends. */
  readonly isReady: boolean;
  readonly role: 'active' | 'standby';
  /** The node's term; 0 while it has none. */
  readonly term: number;
  /** For people: why not, or that all is well. */
  readonly reason: string;
}
