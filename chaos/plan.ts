/**
 * What a seed decides: which faults happen, in which order, how hard, with which pauses. Not the machine's own timing, and so not who is active
 * when a fault comes; faults name roles.
 *
 * An episode is one fault, or a few in quick succession, that come while the ones before are not over. Then the service has to come back.
 */
import { type Random, seededRandom } from '../src/core/ports/random.ts';
import type { PlannedFault } from './faults/fault.ts';

export interface PlannedEpisode<Name extends string> {
  /** Before its first fault. */
  readonly quietMs: number;
  readonly faults: readonly { readonly afterMs: number; readonly fault: PlannedFault<Name> }[];
}

export interface PlanOptions<Name extends string> {
  readonly seed: number;
  /** The faults to choose from. */
  readonly names: readonly Name[];
  /** How often each comes, compared to the others. */
  readonly kinds: { readonly [N in Name]: { readonly weight: number } };
  /** Fixed: each episode has so many. Else one, sometimes two or three. */
  readonly faultsPerEpisode?: number;
  readonly quietMsMax: number;
  readonly pauseMsMax: number;
}

/** Endless; the same for the same options. */
export function* planEpisodes<Name extends string>(options: PlanOptions<Name>) {
  const { seed, faultsPerEpisode, quietMsMax, pauseMsMax } = options;
  const random = seededRandom(seed);
  for (;;) {
    const quietMs = random.fraction() * quietMsMax;
    const count = faultsPerEpisode ?? countOf(random.fraction());
    const faults = Array.from({ length: count }, (_, i) => {
      const afterMs = i === 0 && faultsPerEpisode === undefined ? 0 : 20 + random.fraction() * 400;
      const name = draw(options, random);
      const [choice, amount] = [random.fraction(), random.fraction()];
      const fault: PlannedFault<Name> = {
        name,
        choice,
        amount,
        pauseMs: random.fraction() * pauseMsMax,
        isAlone: count === 1,
      };
      return { afterMs, fault };
    });
    yield { quietMs, faults } satisfies PlannedEpisode<Name>;
  }
}

const countOf = (fraction: number): number => (fraction < 0.7 ? 1 : fraction < 0.9 ? 2 : 3);

function draw<Name extends string>({ names, kinds }: PlanOptions<Name>, random: Random): Name {
  const total = names.reduce((sum, name) => sum + kinds[name].weight, 0);
  let left = random.fraction() * total;
  for (const name of names) {
    left -= kinds[name].weight;
    if (left < 0) return name;
  }
  return names[0] as Name;
}
