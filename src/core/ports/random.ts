/** Randomness as a parameter, so that a seed replays a run. */
import { randomBytes } from 'node:crypto';

export interface Random {
  /** In [0, 1). */
  fraction(): number;
  /** Hex text of `bytes` random bytes. */
  id(bytes: number): string;
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  id: (bytes) => randomBytes(bytes).toString('hex'),
};

/** The same sequence for the same seed (mulberry32). For tests and simulations; never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const id = (bytes: number): string =>
    Array.from({ length: bytes }, () =>
      Math.floor(fraction() * 256)
        .toString(16)
        .padStart(2, '0'),
    ).join('');
  return { fraction, id };
}
