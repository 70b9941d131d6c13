/** Lanes of the failover bench, in a process of their own: told over IPC which phase it is and when to stop; answers with what each lane has seen. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Lane } from './lane.ts';
import { type LaneKind, LaneLog, type LaneResult, type Phase, PhaseClock } from './lane-log.ts';
import type { MasterLookup } from './master-lookup.ts';
import { TandemLane } from './tandem-lane.ts';
import { XaddLane } from './xadd-lane.ts';

export interface LoadSpec {
  /** So many of each kind, each at so many records per second. */
  readonly lanes: { readonly [K in LaneKind]: number };
  readonly recordsPerSecond: number;
  /** Of the node's TCP lines. */
  readonly linesPort: number;
  readonly lookup: MasterLookup;
}

export type LoadOrder = { readonly phase: Phase } | { readonly stopWithinMs: number };
export type LoadReport = { readonly phase: Phase } | LoadResult;

export interface LoadResult {
  readonly lanes: readonly LaneResult[];
  /** How late this process itself was, at p99: it is no better than that at telling when an answer came. */
  readonly ownDelayMs: { readonly [P in Phase]: number };
}

function startLanes({ lanes, recordsPerSecond, linesPort, lookup }: LoadSpec, clock: PhaseClock): Lane[] {
  const kinds: readonly LaneKind[] = ['tandem', 'plain', 'wait'];
  return kinds.flatMap((kind) =>
    Array.from({ length: lanes[kind] }, (_, i) => {
      const options = { log: new LaneLog(`${kind}-${i}`, kind, clock), recordsPerSecond };
      const lane =
        kind === 'tandem' ? new TandemLane({ ...options, port: linesPort }) : new XaddLane({ ...options, lookup });
      return lane.start();
    }),
  );
}

const tell = (report: LoadReport): Promise<void> =>
  new Promise((resolve) => process.send?.(report, undefined, undefined, () => resolve()));

const DELAY_RESOLUTION_MS = 1;
const delays = {
  calm: monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS }),
  failover: monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS }),
  recovery: monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS }),
};
let delay = delays.recovery;
delay.enable();

function ownDelayMs(phase: Phase): number {
  const histogram = delays[phase];
  return histogram.count === 0 ? 0 : Math.max(0, histogram.percentile(99) / 1e6 - DELAY_RESOLUTION_MS);
}

const clock = new PhaseClock();
const lanes = startLanes(JSON.parse(process.argv[2] ?? '{}') as LoadSpec, clock);
process.on('message', async (order: LoadOrder) => {
  if ('phase' in order) {
    delay.disable();
    delay = delays[order.phase];
    delay.enable();
    clock.enter(order.phase);
    await tell(order);
    return;
  }
  delay.disable();
  await Promise.all(lanes.map((lane) => lane.stop(order.stopWithinMs)));
  const ownDelay = { calm: ownDelayMs('calm'), failover: ownDelayMs('failover'), recovery: ownDelayMs('recovery') };
  await tell({ lanes: lanes.map(({ log }) => log.result()), ownDelayMs: ownDelay });
  process.exit(0);
});
process.on('disconnect', () => process.exit(1));
