/**
 * A process that appends to topic `t` as fast as it can, until it is ended: `writing-process.ts <data folder> <slot term> <bytes>`.
 * Prints `acked <text>` for each acknowledged record, and `failed <code>` when its journal has failed for good; then it exits with 3, in
 * the next turn, as a worker does.
 */
import { recordSetOf } from '../../../core/record-set.ts';
import { openEmbeddedEngine } from '../embedded-engine.ts';

const IN_HAND = 64;

const [dataDir = '', slotTerm, bytes] = process.argv.slice(2);
const padding = 'x'.repeat(Number(bytes));
const engine = await openEmbeddedEngine({
  dataDir,
  slot: { slot: 0, slots: 1, slotTerm: Number(slotTerm) },
  onFailed: ({ code }) => {
    console.log(`failed ${code}`);
    setImmediate(() => process.exit(3));
  },
});
await engine.topics.ensure({ name: 't', partitions: 1, retentionMs: null, retentionBytes: null });

async function write(lane: number): Promise<void> {
  for (let i = 1; ; i++) {
    const text = `${slotTerm}-${lane}-${i}`;
    const set = recordSetOf([{ data: Buffer.from(`${text} ${padding}`) }]);
    const producer = { id: `${slotTerm}-${lane}`, sequence: i };
    try {
      await engine.store.append({ topic: 't', partition: 0, set, ...(lane % 2 === 0 ? { producer } : {}) });
      console.log(`acked ${text}`);
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (let lane = 0; lane < IN_HAND; lane++) void write(lane);
