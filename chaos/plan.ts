/**
 * What a seed decides: which faults happen, in which order, how hard, with which pauses. Not the machine's own timing, and so not who is active
 * when a fault comes; faults name roles.
 *
 * An episode is one fault, or a few in quick succession, that come while the ones before are not over. Then the service has to come back.
 */
import { type Random, seededRandom } from '../src/core/ports/random.ts';
import { FAULT_KINDS, type Fault, type FaultName } from './faults/fault.ts';

export interface PlannedEpisode {
  /** Before its first fault. */
  readonly quietMs: number;
  readonly faults: readonly { readonly afterMs: number; readonly fault: Fault }[];
}

export interface PlanOptions {
  readonly seed: number;
  /** The faults to choose from. */
  readonly names: readonly FaultName[];
  /** Fixed: each episode has so many. Else one, sometimes two or three. */
  readonly faultsPerEpisode?: number;
  readonly quietMsMax: number;
  readonly pauseMsMax: number;
}

/** Endless; the same for the same options. */
export function* planEpisodes({ seed, names, faultsPerEpisode, quietMsMax, pauseMsMax }: PlanOptions) {
  const random = seededRandom(seed);
  for (;;) {
    const quietMs = random.fraction() * quietMsMax;
    const count = faultsPerEpisode ?? countOf(random.fraction());
    const faults = Array.from({ length: count }, (_, i) => {
      const afterMs = i === 0 && faultsPerEpisode === undefined ? 0 : 20 + random.fraction() * 400;
      const name = draw(names, random);
      const [choice, amount] = [random.fraction(), random.fraction()];
      const fault: Fault = { name, choice, amount, pauseMs: random.fraction() * pauseMsMax, isAlone: count === 1 };
      return { afterMs, fault };
    });
    yield { quietMs, faults } satisfies PlannedEpisode;
  }
}

const countOf = (fraction: number): number => (fraction < 0.7 ? 1 : fraction < 0.9 ? 2 : 3);

function draw(names: readonly FaultName[], random: Random): FaultName {
  const total = names.reduce((sum, name) => sum + FAULT_KINDS[name].weight, 0);
  let left = random.fraction() * total;
  for (const name of names) {
    left -= FAULT_KINDS[name].weight;
    if (left < 0) return name;
  }
  return names[0] as FaultName;
}
