/**
 * What the cluster of nodes is made of: roles, what nodes tell each other, and what a role change asks of a node. `cluster/` decides by
 * these alone; it knows nothing of records, sockets or processes.
 */

/** single: the node's store is its own. active-standby: one node serves. active-active: all serve; one at a time holds the store's duties. */
export type ClusterMode = 'single' | 'active-standby' | 'active-active';

export type Role = 'active' | 'standby';

/** What a node says of itself, to its peers and to people. Plain data. */
export interface NodeFacts {
  /** Rises with each change of what this incarnation says: what it said later counts, whichever way brings it first. */
  readonly serial: number;
  readonly name: string;
  /** `name/incarnation`: as a holder of leases. */
  readonly holder: string;
  readonly role: Role;
  /** The term it acts under; 0 as a standby. */
  readonly term: number;
  /** Active: it should get traffic. Standby: it could take over now. */
  readonly isReady: boolean;
  /** For people. */
  readonly reason: string;
  readonly adminUrl: string;
  readonly version: string;
  /** Unix ms since when it has its role. */
  readonly sinceMs: number;
  /** Unplanned takeovers that it knows of, its own and others', oldest first, a bounded number: what a node that was just started learns from. */
  readonly takeovers: readonly Takeover[];
}

/** An active died, hung or lost its lease. */
export interface Takeover {
  /** The term that it ended. */
  readonly term: number;
  /** Unix ms. */
  readonly atMs: number;
}

export interface PeerView {
  readonly facts: NodeFacts;
  /** Monotonic ms of the last sign of life. */
  readonly lastHeardMs: number;
}

export type PeerEvent =
  /** A peer joined or said something new. */
  | { readonly kind: 'changed'; readonly peer: PeerView }
  /** The link to it broke: suspicion, not proof. */
  | { readonly kind: 'lost'; readonly peer: PeerView };

/** One node asks another, for a planned switchover. Answers are plain data; an error comes as TandemError. */
export type PeerRequest =
  /** To the active: switch over. `to` null: to any standby that is ready. Answered with the SwitchoverReport. */
  | { readonly kind: 'switchover'; readonly to: string | null; readonly timeoutMs: number }
  /** To the target: get ready, and wait for the lease at once when it is released. Answered when it is ready. */
  | { readonly kind: 'prepare'; readonly from: string; readonly timeoutMs: number };

/** How a node reaches its peers. Local: Unix sockets in the data folder. Between machines: what the engine offers. */
export interface PeerNetwork {
  /** The others, as last heard. */
  readonly peers: readonly PeerView[];
  /** Says it to all peers now, and again to each that joins later; heartbeats go by themselves. */
  tell(facts: NodeFacts): void;
  onEvent(listener: (event: PeerEvent) => void): void;
  onRequest(answer: (request: PeerRequest) => Promise<unknown>): void;
  /** Errors: TANDEM_PEER_LOST (gone, or no answer in time) and what the peer answers. */
  request(peerName: string, request: PeerRequest, timeoutMs: number): Promise<unknown>;
  /**
   * Ends every process of this incarnation of the peer (`holder`), by force, and resolves when the kernel proves that they are gone; at once
   * if they are. A later incarnation of the same name is not touched. The peer need not be known: one that hung before we came never spoke
   * to us. Errors: TANDEM_PEER_LOST: it cannot be ended from here (another host, another user); nothing may be taken over then but by the
   * lease's own rules.
   */
  fence(peer: Pick<NodeFacts, 'name' | 'holder'>): Promise<void>;
}

/** What a role change asks of the node; `topology/` implements it with keeper and workers. Times are milliseconds from the call on. */
export interface NodeDuties {
  /**
   * Claims the term at the store, then opens, recovers, binds and serves under it. Resolves when the node serves. Rejects when it cannot;
   * nothing of it runs under the term then.
   */
  promote(term: number): Promise<void>;
  /** First part of a planned end: finishes what consumers have in hand, at most until the deadline; ingest goes on. */
  quiesce(deadlineMs: number): Promise<void>;
  /** Takes `quiesce` back, also one that failed or is under way: consumers go on. */
  unquiesce(): Promise<void>;
  /** Stops serving: what is in hand is finished and answered, at most until the deadline. When it resolves nothing here can write. */
  demote(deadlineMs: number): Promise<DemoteReport>;
  /**
   * At once, by force. When it resolves nothing here can write. May be called while any of the others is under way, which then settles
   * soon. Must not reject for good: it is called again until it resolves, and until then this node does nothing else.
   */
  cut(reason: string): Promise<void>;
}

export interface DemoteReport {
  /** Records that were received and not yet answered when the addresses were closed; all were answered. */
  readonly recordsInFlight: number;
  /** Clients that were told to go. */
  readonly clients: number;
}

export interface SwitchoverReport {
  readonly from: string;
  readonly to: string;
  /** Terms before and after. */
  readonly fromTerm: number;
  readonly toTerm: number;
  /** From the moment at which the old active took nothing more to the one at which the new one serves. */
  readonly pauseMs: number;
  readonly totalMs: number;
  readonly recordsInFlight: number;
  readonly recordsLost: number;
  readonly clientsMoved: number;
}
