/**
 * tandem-client on one connection, in this process, against the same number of lines in flight over one TCP connection: what producers,
 * sequences, JSON and promises cost. Rounds alternate.
 */
import { connect } from 'tandem-client';
import { runLoadProcess } from './load/run-load.ts';
import { type Bench, type Measure, median } from './measure.ts';
import { discard, startTandem } from './tandem-server.ts';

const RECORD_BYTES = 200;
const ROUNDS = 3;
const SHAPES = [1, 64, 1000] as const;

interface ClientLoad {
  readonly httpPort: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

export const clientBench: Bench = async (say) => {
  const measures: Measure[] = [];
  const node = await startTandem(1);
  for (const inFlight of SHAPES) {
    const ours: number[] = [];
    const lines: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      say(`client, ${inFlight} in flight, round ${round} of ${ROUNDS}`);
      const load = { inFlight, seconds: 3, warmUpSeconds: 1 };
      ours.push(await runClient({ ...load, httpPort: node.ports.http }));
      const tcp = {
        ...load,
        connections: 1,
        recordBytes: RECORD_BYTES,
        protocol: 'lines',
        port: node.ports.lines,
      } as const;
      lines.push((await runLoadProcess(tcp)).perSecond);
    }
    const peer = { name: 'TCP lines', value: median(lines) };
    const ratio = median(ours.map((rate, i) => rate / (lines[i] as number)));
    const name = `tandem-client, 1 connection, ${inFlight} in flight`;
    measures.push({ name, unit: 'records/s', value: median(ours), rounds: ours, peer, ratio });
  }
  await discard(node);
  return measures;
};

/** Records per second that are acknowledged to loops which each publish one at a time. */
export async function runClient({ httpPort, inFlight, seconds, warmUpSeconds }: ClientLoad): Promise<number> {
  const client = connect({ addresses: `ws://127.0.0.1:${httpPort}`, inFlightMax: inFlight });
  const data = 'x'.repeat(RECORD_BYTES);
  let acked = 0;
  let isOver = false;
  const loops = Array.from({ length: inFlight }, async () => {
    for (; !isOver; acked++) await client.publish('data_queue', data);
  });
  await new Promise((resolve) => setTimeout(resolve, warmUpSeconds * 1000));
  const [before, startMs] = [acked, performance.now()];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const rate = ((acked - before) / (performance.now() - startMs)) * 1000;
  isOver = true;
  await Promise.all(loops);
  await client.close();
  return rate;
}
