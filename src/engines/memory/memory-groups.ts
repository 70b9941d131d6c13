/** The memberships of one member of a memory store, and the commits. */
import type { Assignment, CommittedOffset, GroupStore, Membership } from '../../core/contracts/engine.ts';
import { TandemError } from '../../core/errors.ts';
import type { MemoryStore } from './memory-store.ts';
import type { MemoryTerm } from './memory-term.ts';

export class MemoryGroups implements GroupStore {
  readonly #store: MemoryStore;
  readonly #term: MemoryTerm;
  readonly #requireOpen: () => void;
  readonly #leaves = new Set<() => void>();

  constructor(store: MemoryStore, term: MemoryTerm, requireOpen: () => void) {
    this.#store = store;
    this.#term = term;
    this.#requireOpen = requireOpen;
  }

  async join(
    groupName: string,
    topic: string,
    onChange: (assignments: readonly Assignment[]) => void,
  ): Promise<Membership> {
    this.#requireOpen();
    const group = this.#store.group(groupName, topic);
    const member = { onChange };
    group.add(member);
    const leave = (): void => {
      group.remove(member);
      this.#leaves.delete(leave);
    };
    this.#leaves.add(leave);
    return {
      get assignments() {
        return group.assignmentsOf(member);
      },
      async leave() {
        leave();
      },
    };
  }

  async commit(groupName: string, topic: string, offset: CommittedOffset, term: number): Promise<void> {
    this.#requireOpen();
    const claimed = this.#store.partition({ topic, partition: offset.partition }).term;
    const group = this.#store.group(groupName, topic);
    this.#term.require(term);
    const lowest = Math.max(claimed, group.termOf(offset.partition));
    if (term < lowest)
      throw new TandemError('TANDEM_TERM_FENCED', { detail: `${term} is below ${lowest}`, data: { term: lowest } });
    group.committed.set(offset.partition, { ...offset });
  }

  async committed(groupName: string, topic: string): Promise<readonly CommittedOffset[]> {
    this.#requireOpen();
    const { committed } = this.#store.group(groupName, topic);
    return [...committed.values()].sort((a, b) => a.partition - b.partition);
  }

  /** Ends all memberships at once. */
  leaveAll(): void {
    for (const leave of this.#leaves) leave();
  }
}
