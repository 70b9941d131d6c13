/**
 * Which segments compaction makes one of. Neighbours in the order of age, so that the result stands at one place of that order.
 *
 * - Sparse: less than half lives. Copying what lives frees more than it costs.
 * - Small ones side by side: every start leaves one, and so does compaction. An older one joins only if those after it are together at
 *   least as large, so what a byte lies in at least doubles with every copy of it, and the number of small segments stays below some
 *   dozens whatever there was.
 */
import type { Segment } from './log/segment.ts';

export interface Candidate {
  readonly segment: Segment;
  readonly bytes: number;
  /** About. At least half of `bytes` if it is not sparse. */
  readonly liveBytes: number;
  /** It may be copied at all. */
  readonly isMovable: boolean;
  /** It must not be joined to the one before it. */
  readonly startsRun: boolean;
}

/** Fewer small ones are left alone if none of them is sparse. */
const MERGED_SEGMENTS_MIN = 4;
/** Freeing less is not worth the forces. */
const FREED_BYTES_MIN = 4096;
/** What copying costs besides the bytes. */
const COST_BYTES = 64 * 1024;

const isSparse = ({ bytes, liveBytes }: Pick<Candidate, 'bytes' | 'liveBytes'>): boolean =>
  liveBytes * 2 < bytes && bytes - liveBytes >= FREED_BYTES_MIN;

/** The most rewarding run of neighbours out of one journal, whose segments are given oldest first; empty: nothing is worth it. */
export function chooseRun(candidates: readonly Candidate[], segmentBytes: number): Segment[] {
  let best: readonly Candidate[] = [];
  let bestReward = 0;
  for (let newest = candidates.length - 1; newest >= 0; newest--) {
    const run = runBefore(candidates, newest, segmentBytes);
    const reward = rewardOf(run);
    if (reward <= bestReward) continue;
    best = run;
    bestReward = reward;
  }
  return best.map(({ segment }) => segment);
}

function runBefore(candidates: readonly Candidate[], newest: number, segmentBytes: number): Candidate[] {
  const run: Candidate[] = [];
  let liveBytes = 0;
  for (let i = newest; i >= 0; i--) {
    const candidate = candidates[i] as Candidate;
    if (!candidate.isMovable || (run.length > 0 && liveBytes + candidate.liveBytes > segmentBytes)) break;
    if (run.length > 0 && candidate.liveBytes > liveBytes && !isSparse(candidate)) break;
    run.unshift(candidate);
    liveBytes += candidate.liveBytes;
    if (candidate.startsRun) break;
  }
  return run;
}

/** Bytes freed and files saved, for what it costs; 0: leave it. */
function rewardOf(run: readonly Candidate[]): number {
  let bytes = 0;
  let liveBytes = 0;
  for (const candidate of run) {
    bytes += candidate.bytes;
    liveBytes += candidate.liveBytes;
  }
  if (liveBytes === 0 || (run.length < MERGED_SEGMENTS_MIN && !run.some(isSparse))) return 0;
  return (bytes - liveBytes + run.length * FREED_BYTES_MIN) / (liveBytes + COST_BYTES);
}
