/**
 * The store's claimed term as one member of a memory store sees it, and the term under which that member writes: the one that was claimed when
 * it was opened, or that it has claimed itself since.
 */
import { TandemError } from '../../core/errors.ts';
import type { MemoryStore } from './memory-store.ts';

export class MemoryTerm {
  readonly #store: MemoryStore;
  #own: number;

  constructor(store: MemoryStore) {
    this.#store = store;
    this.#own = store.claimedTerm;
  }

  get own(): number {
    return this.#own;
  }

  /** Throws TANDEM_TERM_FENCED if a higher term than `term` (the member's own) is claimed. */
  require(term: number = this.#own): void {
    const { claimedTerm } = this.#store;
    if (term < claimedTerm) throw fencedError(term, claimedTerm);
  }

  /** As Engine.claim. */
  claim(term: number): void {
    this.require(term);
    this.#store.claimedTerm = term;
    this.#store.liftTerm(term);
    this.#own = term;
  }
}

export const fencedError = (term: number, claimed: number): TandemError =>
  new TandemError('TANDEM_TERM_FENCED', { detail: `${term} is below ${claimed}`, data: { term: claimed } });
