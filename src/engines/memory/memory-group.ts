/**
 * One consumer group on one topic: its live members, which partition belongs to whom under which term, and what is committed.
 *
 * Partition p belongs to member p modulo the members, in the order of joining. A partition that changes hands gets a new term; one that
 * stays keeps its term. The change is one synchronous step, so a partition never has two owners.
 */
import type { Assignment, CommittedOffset } from '../../core/contracts/engine.ts';
import type { Clock } from '../../core/ports/clock.ts';

export interface MemoryMember {
  onChange(assignments: readonly Assignment[]): void;
}

interface Ownership {
  readonly member: MemoryMember | undefined;
  readonly term: number;
}

export class MemoryGroup {
  readonly topic: string;
  readonly committed = new Map<number, CommittedOffset>();
  readonly #clock: Clock;
  readonly #issueTerm: () => number;
  #members: MemoryMember[] = [];
  #owners: Ownership[] = [];

  constructor(topic: string, clock: Clock, issueTerm: () => number) {
    this.topic = topic;
    this.#clock = clock;
    this.#issueTerm = issueTerm;
  }

  add(member: MemoryMember): void {
    this.#members.push(member);
    this.rebalance(this.#owners.length, member);
  }

  remove(member: MemoryMember): void {
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((other) => other !== member);
    this.rebalance(this.#owners.length);
  }

  assignmentsOf(member: MemoryMember): Assignment[] {
    return this.#owners.flatMap(({ member: owner, term }, partition) =>
      owner === member ? [{ partition, term }] : [],
    );
  }

  /** The lowest term that may commit; 0 if the partition was never assigned. */
  termOf(partition: number): number {
    return this.#owners[partition]?.term ?? 0;
  }

  /** Spreads `partitions` partitions over the members and tells those whose share changed, but not `silent`. */
  rebalance(partitions: number, silent?: MemoryMember): void {
    const changed = new Set<MemoryMember>();
    this.#owners = Array.from({ length: partitions }, (_, partition) => {
      const before = this.#owners[partition];
      const member = this.#members[partition % this.#members.length];
      if (before !== undefined && before.member === member) return before;
      if (before?.member !== undefined) changed.add(before.member);
      if (member !== undefined) changed.add(member);
      return { member, term: member === undefined ? (before?.term ?? 0) : this.#issueTerm() };
    });
    for (const member of changed) if (member !== silent) this.#tell(member);
  }

  #tell(member: MemoryMember): void {
    this.#clock.soon(() => {
      if (this.#members.includes(member)) member.onChange(this.assignmentsOf(member));
    });
  }
}
