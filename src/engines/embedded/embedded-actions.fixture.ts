/** What the model tests do at random, and how often. */
import fc from 'fast-check';
import type { NodePace, TornEnd } from './embedded-node.fixture.ts';

/** Numbers that name places and producers are taken modulo what there is. */
export interface AppendChoice {
  readonly place: number;
  /** Bytes of each record. */
  readonly sizes: readonly number[];
  /** With keys and headers. */
  readonly attributes: boolean;
  readonly producer: number | undefined;
  /** So many sequences are sent again. */
  readonly back: number;
}

export type Action =
  | { readonly kind: 'append'; readonly appends: readonly AppendChoice[]; readonly via: number }
  | { readonly kind: 'ensure'; readonly topic: string; readonly partitions: number }
  | { readonly kind: 'trim'; readonly place: number; readonly fraction: number }
  | { readonly kind: 'retain' }
  /** `isAwaited`: done before the next action; otherwise it runs beside those that follow. */
  | { readonly kind: 'compact'; readonly isAwaited: boolean }
  | { readonly kind: 'commit'; readonly place: number; readonly offset: number }
  | { readonly kind: 'probe'; readonly place: number; readonly ahead: number; readonly bytesMax: number }
  | { readonly kind: 'reopen'; readonly slots: number }
  | {
      readonly kind: 'crash';
      /** In flight at the death. */
      readonly appends: readonly AppendChoice[];
      /** So many turns of the event loop after the appends were called; in the middle of their flush; after it, with the answers lost. */
      readonly moment: number | 'flush' | 'landed';
      /** Of a flush that was not forced. */
      readonly tornEnd: TornEnd;
      readonly fraction: number;
      readonly slots: number;
    };

const place = fc.nat(9);
const slots = fc.constantFrom(1, 1, 2, 3);
const fraction = fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100);
const size = fc.oneof(
  { weight: 6, arbitrary: fc.nat(200) },
  { weight: 1, arbitrary: fc.integer({ min: 2000, max: 9000 }) },
);

const appendChoice: fc.Arbitrary<AppendChoice> = fc.record({
  place,
  sizes: fc.array(size, { minLength: 1, maxLength: 6 }),
  attributes: fc.boolean(),
  producer: fc.option(fc.nat(1), { nil: undefined, freq: 3 }),
  back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(8) }),
});

const appendsOfOneTick: fc.Arbitrary<readonly AppendChoice[]> = fc.array(appendChoice, {
  minLength: 1,
  maxLength: 8,
});

const kindOf = <K extends string>(kind: K) => fc.constant(kind);

export const anAppend: fc.Arbitrary<Action & { readonly kind: 'append' }> = fc.record({
  kind: kindOf('append'),
  appends: appendsOfOneTick,
  via: fc.nat(2),
});

const crash = fc.record({
  kind: kindOf('crash'),
  appends: fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 4, arbitrary: appendsOfOneTick }),
  moment: fc.oneof(
    { weight: 1, arbitrary: fc.nat(3) },
    { weight: 3, arbitrary: fc.constant('flush' as const) },
    { weight: 1, arbitrary: fc.constant('landed' as const) },
  ),
  tornEnd: fc.constantFrom<TornEnd>('whole', 'truncated', 'zeroed', 'hole'),
  fraction,
  slots,
});

export const anAction: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: anAppend },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kindOf('ensure'),
      topic: fc.constantFrom('a', 'b', 'c'),
      partitions: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kindOf('trim'), place, fraction }) },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('retain') }) },
  { weight: 4, arbitrary: fc.record({ kind: kindOf('compact'), isAwaited: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: kindOf('commit'), place, offset: fc.nat(50) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kindOf('probe'),
      place,
      ahead: fc.integer({ min: -2, max: 40 }),
      bytesMax: fc.constantFrom(1, 500, 100_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: kindOf('reopen'), slots }) },
  { weight: 3, arbitrary: crash },
);

export const aPace: fc.Arbitrary<NodePace> = fc.record({
  trailBatches: fc.constantFrom(1, 3, 1000),
  sealDelayMs: fc.constantFrom(0, 5, 1_000_000),
});
