/** Deliveries per second to 1,000 WebSocket clients of one server process, every broadcast on disk first; against the `ws` library's broadcast. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FanoutArguments, FanoutResult } from './load/fanout-main.ts';
import { atLeast, atMost, type Bench, type Measure, median } from './measure.ts';
import { startWsPeer } from './peers/ws-peer.ts';
import { discard, startTandem } from './tandem-server.ts';

const FANOUT_MAIN = fileURLToPath(new URL('./load/fanout-main.ts', import.meta.url));
const CLIENTS = 1000;
const PAYLOAD_BYTES = 200;
const ROUNDS = 3;
const SECONDS = 3;
const WARM_UP_SECONDS = 1;
const SHAPES = [
  { inFlight: 1, ratioMin: 1.25 },
  { inFlight: 16, ratioMin: 5 },
] as const;
export const SUBSCRIBE = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'subscribe',
  params: { channel: 'data_queue' },
});

export const fanoutBench: Bench = async (say) => {
  const measures: Measure[] = [];
  for (const { inFlight, ratioMin } of SHAPES) {
    const ours: FanoutResult[] = [];
    const theirs: FanoutResult[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      say(`fan-out to ${CLIENTS}, ${inFlight} in flight, round ${round} of ${ROUNDS}`);
      ours.push(await fanoutOfTandem(inFlight));
      theirs.push(await fanoutOfWs(inFlight));
    }
    measures.push(...measuresOf(inFlight, ratioMin, ours, theirs));
  }
  return measures;
};

const load = (inFlight: number) => ({
  clients: CLIENTS,
  payloadBytes: PAYLOAD_BYTES,
  inFlight,
  seconds: SECONDS,
  warmUpSeconds: WARM_UP_SECONDS,
});

async function fanoutOfTandem(inFlight: number): Promise<FanoutResult> {
  const node = await startTandem(1);
  try {
    const target = {
      port: node.ports.http,
      path: '/ws',
      publishPort: node.ports.lines,
      greeting: SUBSCRIBE,
      answers: 1,
    };
    return await runFanout({ ...load(inFlight), ...target });
  } finally {
    await discard(node);
  }
}

async function fanoutOfWs(inFlight: number): Promise<FanoutResult> {
  const peer = await startWsPeer();
  try {
    return await runFanout({ ...load(inFlight), port: peer.port, path: '/', publishPort: peer.control, answers: 0 });
  } finally {
    peer.stop();
  }
}

export async function runFanout(args: FanoutArguments): Promise<FanoutResult> {
  const { stdout } = await promisify(execFile)(process.execPath, [FANOUT_MAIN, JSON.stringify(args)]);
  return JSON.parse(stdout) as FanoutResult;
}

function measuresOf(
  inFlight: number,
  ratioMin: number,
  ours: readonly FanoutResult[],
  theirs: readonly FanoutResult[],
): Measure[] {
  const name = `fan-out to ${CLIENTS}, ${inFlight} in flight`;
  const rates = ours.map((result) => result.deliveriesPerSecond);
  const ratio = median(rates.map((rate, i) => rate / (theirs[i] as FanoutResult).deliveriesPerSecond));
  const ourP99 = median(ours.map((result) => result.latencyMs.p99));
  const theirP99 = median(theirs.map((result) => result.latencyMs.p99));
  const peer = { name: 'ws', value: median(theirs.map((result) => result.deliveriesPerSecond)) };
  return [
    { name, unit: 'deliveries/s', value: median(rates), rounds: rates, peer, ratio },
    { name: `${name}, against ws`, unit: 'x', value: ratio, bound: atLeast(ratio, ratioMin, 'x') },
    {
      name: `${name}, p99`,
      unit: 'ms',
      value: ourP99,
      peer: { name: 'ws', value: theirP99 },
      bound: atMost(ourP99 / theirP99, 1, 'of the peer'),
    },
  ];
}
