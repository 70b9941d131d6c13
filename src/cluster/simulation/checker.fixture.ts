/**
 * The invariants, checked while a world runs. (1) to (6) are of cluster/elector.ts, the sink's (2) of the rule "claim before read".
 *
 * 1. Terms under which nodes start strictly rise.
 * 2. The sink accepts no write under an older term once a newer active has read it.
 * 3. Nobody starts while another lives that still writes or believes that it may: with a store that proves death nobody at all; with a timed
 *    one nobody that was not stopped meanwhile, and no stopped one that goes on believing after its deadline.
 * 4. After the last fault exactly one is active within a bound, serves in full, and stays.
 * 5. A switchover settles, with a report that is true or an error that is declared; whatever it says, 4 holds.
 * 6. No start while another transition of the same node is under way.
 * 7. Nobody is ended by force but a silent holder of the lease.
 */

import type { SimProcess } from './scheduler.fixture.ts';

/** What is checked of a node's work. */
export interface CheckedDuties {
  readonly process: SimProcess;
  readonly term: number;
  readonly isStarting: boolean;
  readonly isWriting: boolean;
  /** It, or its workers, stood still while under the term. */
  readonly wasStopped: boolean;
  /** The transition that is. */
  readonly underWay: string | undefined;
  readonly holdsUntilMs: () => number;
}

export class Violation extends Error {
  readonly invariant: number;

  constructor(invariant: number, message: string) {
    super(`invariant ${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

export class Checker {
  readonly #provesDeath: boolean;
  readonly #duties = new Set<CheckedDuties>();
  /** The first one; what happens afterwards proves nothing. */
  violation: Violation | undefined;
  lastTerm = 0;
  /** The newest term under which the sink was read. */
  readTerm = 0;
  starts = 0;
  refusedWrites = 0;

  constructor(provesDeath: boolean) {
    this.#provesDeath = provesDeath;
  }

  watch(duties: CheckedDuties): void {
    this.#duties.add(duties);
  }

  forget(duties: CheckedDuties): void {
    this.#duties.delete(duties);
  }

  fail(invariant: number, message: string): void {
    this.violation ??= new Violation(invariant, message);
  }

  starting(starter: CheckedDuties, term: number): void {
    const { name } = starter.process;
    this.starts++;
    if (term <= this.lastTerm) this.fail(1, `${name} starts under term ${term} after ${this.lastTerm}`);
    this.lastTerm = Math.max(this.lastTerm, term);
    if (starter.underWay !== undefined) this.fail(6, `${name} starts while its ${starter.underWay} is under way`);
    for (const other of this.#duties) if (other !== starter) this.#checkOverlap(starter, other);
  }

  #checkOverlap({ process: { name }, term }: CheckedDuties, other: CheckedDuties): void {
    const { process } = other;
    if (!process.isAlive || (!other.isWriting && !other.isStarting)) return;
    if (this.#provesDeath) this.fail(3, `${name} starts under ${term}, ${process.name} works under ${other.term}`);
    else if (process.isStopped) return;
    else if (!other.wasStopped) this.fail(3, `${name} starts under ${term}, ${process.name} still works`);
    else if (other.holdsUntilMs() > process.clock.monotonicMs())
      this.fail(3, `${name} starts under ${term}, ${process.name} believes in ${other.term}`);
  }

  read(term: number): void {
    this.readTerm = Math.max(this.readTerm, term);
  }

  wrote(writer: CheckedDuties, term: number, isAccepted: boolean): void {
    if (!isAccepted) this.refusedWrites++;
    else if (term < this.readTerm)
      this.fail(2, `the sink takes a write of ${writer.process.name} under ${term} after ${this.readTerm} has read`);
    const { process } = writer;
    const isExcused = !process.isAlive || (!this.#provesDeath && (writer.wasStopped || process.isStopped));
    if (!isExcused && term < this.lastTerm)
      this.fail(3, `${process.name} writes under ${term} after a start under ${this.lastTerm}`);
  }

  fencing(observer: SimProcess, target: SimProcess | undefined, isHolder: boolean, isSilent: boolean): void {
    if (target === undefined || !target.isAlive) return;
    if (!isHolder) this.fail(7, `${observer.name} ends ${target.name}, which does not hold the lease`);
    if (!isSilent) this.fail(7, `${observer.name} ends ${target.name}, which is well`);
  }
}
