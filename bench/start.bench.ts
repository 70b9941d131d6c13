/** Time from `tandem up` to ready on a log of 10 GB whose node was killed with -9. */
import { performance } from 'node:perf_hooks';
import { runLoadProcess } from './load/run-load.ts';
import { atMost, type Bench, median } from './measure.ts';
import { discard, startTandem } from './tandem-server.ts';

const LOG_BYTES = 10e9;
const RECORD_BYTES = 1000;
const STARTS = 3;
const FILL_SECONDS = 2;

export const startBench: Bench = async (say) => {
  const node = await startTandem(2);
  let bytes = 0;
  while (bytes < LOG_BYTES) {
    const load = {
      protocol: 'lines',
      connections: 50,
      inFlight: 64,
      recordBytes: RECORD_BYTES,
      warmUpSeconds: 0,
    } as const;
    bytes += (await runLoadProcess({ ...load, port: node.ports.lines, seconds: FILL_SECONDS })).answered * RECORD_BYTES;
    say(`log has ${(bytes / 1e9).toFixed(1)} of ${LOG_BYTES / 1e9} GB`);
  }
  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    await node.killAll();
    const startedMs = performance.now();
    await node.start();
    times.push(performance.now() - startedMs);
  }
  await discard(node);
  const value = median(times);
  return [
    { name: 'start after kill -9 on a 10 GB log', unit: 'ms', value, rounds: times, bound: atMost(value, 1000, 'ms') },
  ];
};
