/** What the node is at this moment, and what it tells of that: facts to peers and listeners, each change of role to the log. */
import type { NodeFacts, PeerNetwork, Role, Takeover } from '../core/contracts/cluster.ts';
import type { Logger } from '../core/contracts/telemetry.ts';
import type { Clock } from '../core/ports/clock.ts';
import { type Phase, type Transition, TransitionList } from './role-changes.ts';

export interface StandingOptions {
  readonly self: Pick<NodeFacts, 'name' | 'holder' | 'adminUrl' | 'version'>;
  readonly peers: PeerNetwork;
  readonly clock: Clock;
  readonly logger: Logger;
  /** More to say than the node itself said last, if there is anything wrong. */
  readonly problem: () => string | undefined;
  readonly takeovers: () => readonly Takeover[];
}

const BETWEEN_ROLES: { readonly [phase in Phase]?: string } = {
  promoting: 'taking over',
  cutting: 'stopping by force',
  stopped: 'stopped',
};

export class Standing {
  readonly #options: StandingOptions;
  readonly #transitions = new TransitionList();
  readonly #listeners: ((facts: NodeFacts) => void)[] = [];
  #phase: Phase = 'standby';
  #role: Role = 'standby';
  #term = 0;
  #sinceMs: number;
  #isReady = false;
  #reason = 'starting';
  #facts: NodeFacts;

  constructor(options: StandingOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.nowMs();
    this.#facts = this.#current();
  }

  get phase(): Phase {
    return this.#phase;
  }
  get role(): Role {
    return this.#role;
  }
  /** The term it acts under; 0 as a standby. */
  get term(): number {
    return this.#term;
  }
  get isReady(): boolean {
    return this.#isReady;
  }
  get facts(): NodeFacts {
    return this.#facts;
  }
  get transitions(): readonly Transition[] {
    return this.#transitions.latest;
  }

  onChange(listener: (facts: NodeFacts) => void): void {
    this.#listeners.push(listener);
  }

  enter(phase: Phase): void {
    this.#phase = phase;
    this.publish();
  }

  setReadiness(isReady: boolean, reason: string): void {
    this.#isReady = isReady;
    this.#reason = reason;
    this.publish();
  }

  /** A transition begins or has ended by force: not ready until the node says so. */
  unready(): void {
    this.setReadiness(false, 'not ready again yet');
  }

  /** Not told yet: `publish`. */
  changeRole(role: Role, term: number): void {
    this.#role = role;
    this.#term = term;
    this.#sinceMs = this.#options.clock.nowMs();
  }

  /** Own changes of role go to the log too. */
  record(transition: Omit<Transition, 'atMs' | 'from'>): void {
    const { clock, logger, self } = this.#options;
    const { to, term, why, tookMs } = transition;
    const from = to === 'active' ? 'standby' : 'active';
    this.#transitions.add({ atMs: clock.nowMs(), from, ...transition });
    if (transition.who === self.name)
      logger.info('role_changed', { from, to, term, why, tookMs: tookMs === null ? null : Math.round(tookMs) });
  }

  /** Tells what has changed; nothing if nothing has, but for the first time. */
  publish(isFirst: boolean = false): void {
    const facts = this.#current();
    if (!isFirst && isSame(facts, this.#facts)) return;
    this.#facts = { ...facts, serial: this.#facts.serial + 1 };
    this.#options.peers.tell(this.#facts);
    for (const listener of this.#listeners) listener(this.#facts);
  }

  #current(): NodeFacts {
    const { self, problem, takeovers } = this.#options;
    const between = BETWEEN_ROLES[this.#phase];
    return {
      serial: 0,
      name: self.name,
      holder: self.holder,
      role: this.#role,
      term: this.#term,
      isReady: this.#isReady && between === undefined,
      reason: between ?? problem() ?? this.#reason,
      adminUrl: self.adminUrl,
      version: self.version,
      sinceMs: this.#sinceMs,
      takeovers: takeovers(),
    };
  }
}

function isSame(a: NodeFacts, b: NodeFacts): boolean {
  return (
    a.role === b.role &&
    a.term === b.term &&
    a.isReady === b.isReady &&
    a.reason === b.reason &&
    a.adminUrl === b.adminUrl &&
    a.sinceMs === b.sinceMs &&
    a.takeovers === b.takeovers
  );
}
