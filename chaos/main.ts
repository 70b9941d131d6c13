/**
 * `npm run chaos -- --seed N --rounds N --workers N --faults N`: drills by hand, one line of JSON each; ends with 1 at the first breach.
 */
import { parseArgs } from 'node:util';
import { runDrill } from './drill.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    faults: { type: 'string', default: '3' },
  },
});
const first = Number(values.seed);
for (let seed = first; seed < first + Number(values.rounds); seed++) {
  const startedMs = performance.now();
  const result = await runDrill({ seed, workers: Number(values.workers), faults: Number(values.faults) });
  console.log(
    JSON.stringify({
      ...result,
      breaches: result.breaches.slice(0, 10),
      seconds: (performance.now() - startedMs) / 1000,
    }),
  );
  if (result.breaches.length > 0) process.exit(1);
}
process.exit(0);
