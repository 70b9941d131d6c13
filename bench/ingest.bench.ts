/** Acked records per second over TCP lines, each on disk before its answer, against Redis RPUSH with appendfsync always; rounds alternate. */
import type { LoadArguments } from './load/load-main.ts';
import type { LoadResult } from './load/pipelined-load.ts';
import { runLoadProcess } from './load/run-load.ts';
import { atLeast, type Bench, type Measure, median } from './measure.ts';
import { RedisServer } from './peers/redis-server.ts';
import { discard, startTandem } from './tandem-server.ts';

const RECORD_BYTES = 200;
const ROUNDS = 3;
const SECONDS = 3;
const WARM_UP_SECONDS = 1;

interface Shape {
  readonly connections: number;
  readonly inFlight: number;
  readonly perSecondMin: number | undefined;
  readonly ratioMin: number | undefined;
}

const SHAPES: readonly Shape[] = [
  { connections: 50, inFlight: 64, perSecondMin: 1_200_000, ratioMin: 2 },
  { connections: 500, inFlight: 16, perSecondMin: 900_000, ratioMin: undefined },
  { connections: 50, inFlight: 1, perSecondMin: 60_000, ratioMin: undefined },
  { connections: 1, inFlight: 1, perSecondMin: undefined, ratioMin: 0.95 },
];

export const ingestBench: Bench = async (say) => {
  const redis = await RedisServer.start();
  if (redis === undefined) say('no redis-server here: figures without the peer');
  const measures: Measure[] = [];
  for (const shape of SHAPES) measures.push(...(await measureShape(shape, redis, say)));
  redis?.stop();
  return measures;
};

async function measureShape(
  shape: Shape,
  redis: RedisServer | undefined,
  say: (text: string) => void,
): Promise<Measure[]> {
  const { connections, inFlight } = shape;
  const common = { connections, inFlight, recordBytes: RECORD_BYTES, seconds: SECONDS, warmUpSeconds: WARM_UP_SECONDS };
  const ours: LoadResult[] = [];
  const theirs: LoadResult[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    say(`tcp lines ${connections} x ${inFlight}, round ${round} of ${ROUNDS}`);
    ours.push(await loadTandem({ ...common, protocol: 'lines' }));
    if (redis === undefined) continue;
    await redis.flush();
    theirs.push(await runLoadProcess({ ...common, protocol: 'rpush', port: redis.port }));
  }
  return measuresOf(shape, ours, theirs);
}

/** A fresh server each round: it serves this load alone. */
async function loadTandem(load: Omit<LoadArguments, 'port'>): Promise<LoadResult> {
  const node = await startTandem(2);
  try {
    return await runLoadProcess({ ...load, port: node.ports.lines });
  } finally {
    await discard(node);
  }
}

function measuresOf(shape: Shape, ours: readonly LoadResult[], theirs: readonly LoadResult[]): Measure[] {
  const name = `tcp lines ${shape.connections} x ${shape.inFlight}`;
  const rates = ours.map((result) => result.perSecond);
  const value = median(rates);
  const base = { name, unit: 'acked records/s', value, rounds: rates };
  const p99: Measure = { name: `${name}, p99`, unit: 'ms', value: median(ours.map((result) => result.latencyMs.p99)) };
  const bound = shape.perSecondMin === undefined ? {} : { bound: atLeast(value, shape.perSecondMin, '/s') };
  if (theirs.length === 0) return [{ ...base, ...bound }, p99];
  const ratio = median(ours.map((result, i) => result.perSecond / (theirs[i] as LoadResult).perSecond));
  const peer = { name: 'redis', value: median(theirs.map((result) => result.perSecond)) };
  const measures: Measure[] = [{ ...base, ...bound, peer, ratio }];
  if (shape.ratioMin !== undefined) {
    measures.push({
      name: `${name}, against redis`,
      unit: 'x',
      value: ratio,
      bound: atLeast(ratio, shape.ratioMin, 'x'),
    });
  }
  return [
    ...measures,
    { ...p99, peer: { name: 'redis', value: median(theirs.map((result) => result.latencyMs.p99)) } },
  ];
}
