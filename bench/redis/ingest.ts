/**
 * Ingest over TCP lines into a node whose engine is a Redis server on the same machine (appendfsync everysec), against plain pipelined XADD, one
 * record per entry, from the same load; rounds alternate, each with a server of its own.
 *
 * With `ack: flushed` clients are answered before Redis has the records, so two rates are told: of the acks, and at which Redis got the
 * records while the load ran; what was left in the spool at the end of the load, and how long it took to go.
 */
import type { LoadArguments } from '../load/load-main.ts';
import type { LoadResult } from '../load/pipelined-load.ts';
import { runLoadProcess } from '../load/run-load.ts';
import { atLeast, type Measure, median, type Say } from '../measure.ts';
import { discard, startTandem } from '../tandem-server.ts';
import { startEverysecRedis } from './everysec-redis.ts';
import { StoredRecords } from './stored-records.ts';

const TOPIC = 'data_queue';
/** More than a run can leave behind: here nothing is to be pushed back. */
const SPOOL_BYTES_MAX = 16 * 2 ** 30;
const PER_SECOND_MIN = 300_000;
const RATIO_MIN = 0.7;

export interface IngestShape extends Omit<LoadArguments, 'port' | 'protocol'> {
  readonly rounds: number;
}

export const INGEST: IngestShape = {
  connections: 50,
  inFlight: 64,
  recordBytes: 200,
  seconds: 8,
  warmUpSeconds: 2,
  rounds: 3,
};

export interface SpooledRun extends LoadResult {
  /** Per second, while the load was counted. */
  readonly storedPerSecond: number;
  /** Acknowledged or on their way when the load ended, and not in Redis. */
  readonly backlogRecords: number;
  readonly drainSeconds: number;
}

export async function measureIngest(say: Say, shape: IngestShape): Promise<readonly Measure[]> {
  const plain: LoadResult[] = [];
  const spooled: SpooledRun[] = [];
  const stored: SpooledRun[] = [];
  for (let round = 1; round <= shape.rounds; round++) {
    say(`plain XADD, round ${round} of ${shape.rounds}`);
    plain.push(await loadRedis(shape));
    say(`ack: flushed, round ${round} of ${shape.rounds}`);
    spooled.push(await loadTandem(shape, 'flushed'));
    say(`ack: stored, round ${round} of ${shape.rounds}`);
    stored.push(await loadTandem(shape, 'stored'));
  }
  return measuresOf(shape, plain, spooled, stored);
}

export async function loadRedis(shape: IngestShape): Promise<LoadResult> {
  const redis = await startEverysecRedis();
  try {
    return await runLoadProcess({ ...shape, protocol: 'xadd', port: redis.server.port });
  } finally {
    await redis.stop();
  }
}

export async function loadTandem(shape: IngestShape, ack: 'flushed' | 'stored'): Promise<SpooledRun> {
  const redis = await startEverysecRedis();
  const spool = ack === 'flushed' ? `, spool: { bytesMax: ${SPOOL_BYTES_MAX} }` : '';
  const node = await startTandem(2, `engine: { url: '${redis.url}', ack: ${ack}${spool} }`);
  const records = new StoredRecords(redis.server, TOPIC).start();
  try {
    const load = await runLoadProcess({ ...shape, protocol: 'lines', port: node.ports.lines });
    const all = await records.complete();
    if (all.records < load.answered) throw new RangeError(`${load.answered} acked, ${all.records} in Redis`);
    const { fromMs, toMs, seconds } = load;
    return {
      ...load,
      storedPerSecond: (records.at(toMs) - records.at(fromMs)) / seconds,
      backlogRecords: all.records - records.at(toMs),
      drainSeconds: Math.max(0, all.atMs - toMs) / 1000,
    };
  } finally {
    await records.end();
    await discard(node);
    await redis.stop();
  }
}

function measuresOf(
  { connections, inFlight }: IngestShape,
  plain: readonly LoadResult[],
  spooled: readonly SpooledRun[],
  stored: readonly SpooledRun[],
): Measure[] {
  const name = `redis, tcp lines ${connections} x ${inFlight}`;
  const rate = ({ perSecond }: LoadResult): number => perSecond;
  const p99 = ({ latencyMs }: LoadResult): number => latencyMs.p99;
  const against = (runs: readonly LoadResult[], of: (run: SpooledRun) => number): Measure['rounds'] & number[] =>
    runs.map((run, i) => of(run as SpooledRun) / rate(plain[i] as LoadResult));
  const measure = (what: string, unit: string, runs: readonly SpooledRun[], of: (run: SpooledRun) => number) => {
    const rounds = runs.map(of);
    return { name: `${name}, ${what}`, unit, value: median(rounds), rounds };
  };
  const peer = { name: 'plain XADD', value: median(plain.map(rate)) };
  const acks = measure('acks after the local flush', 'records/s', spooled, rate);
  const ratio = median(against(spooled, rate));
  const inRedis = ({ storedPerSecond }: SpooledRun): number => storedPerSecond;
  return [
    { ...acks, peer, ratio, bound: atLeast(acks.value, PER_SECOND_MIN, '/s') },
    { name: `${name}, acks against plain XADD`, unit: 'x', value: ratio, bound: atLeast(ratio, RATIO_MIN, 'x') },
    { ...measure('p99', 'ms', spooled, p99), peer: { name: 'plain XADD', value: median(plain.map(p99)) } },
    {
      ...measure('Redis has the records', 'records/s', spooled, inRedis),
      ...{ peer, ratio: median(against(spooled, inRedis)) },
    },
    measure('backlog at the end of the load', 'records', spooled, ({ backlogRecords }) => backlogRecords),
    measure('draining it', 's', spooled, ({ drainSeconds }) => drainSeconds),
    { ...measure('ack: stored', 'records/s', stored, rate), peer, ratio: median(against(stored, rate)) },
    measure('ack: stored, p99', 'ms', stored, p99),
  ];
}
