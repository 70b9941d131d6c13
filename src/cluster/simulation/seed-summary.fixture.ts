/** What the thread of seed-worker.fixture.ts is given, and what it answers. */
import type { StoreKind } from './world.fixture.ts';

export interface SeedJob {
  readonly kind: StoreKind;
  readonly first: number;
  readonly count: number;
  /** Kinds of faults by name (faults.fixture.ts); none: all. */
  readonly focus?: readonly string[];
  /** Patterns of lines of the traces: ends when each has come up. */
  readonly occurrences?: readonly string[];
}

export interface SeedSummary {
  readonly seeds: number;
  readonly events: number;
  /** Of nodes, under a term. */
  readonly starts: number;
  readonly refusedWrites: number;
  readonly recoveryMsMax: number;
  readonly cpuMs: number;
  /** The first seed that broke an invariant; none were run after it. */
  readonly failure: { readonly seed: number; readonly invariant: number; readonly message: string } | undefined;
  /** Those of `occurrences` that did not come up. */
  readonly missing: readonly string[];
}
