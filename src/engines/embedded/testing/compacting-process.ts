/**
 * A process that appends to a topic kept for ever and to one kept short, and compacts all the time, until it is killed. Prints
 * `acked <offset>` of the kept topic, whose records are their offsets, and `compacted <segments>`.
 */
import { recordSetOf } from '../../../core/record-set.ts';
import { openEmbeddedEngine } from '../embedded-engine.ts';

export const SEGMENT_BYTES: number = 64 * 1024;

async function main(dataDir: string): Promise<void> {
  const engine = await openEmbeddedEngine({
    dataDir,
    slot: { slot: 0, slots: 1, slotTerm: 1 },
    segmentBytes: SEGMENT_BYTES,
  });
  await engine.topics.ensure({ name: 'long', partitions: 1, retentionMs: null, retentionBytes: null });
  await engine.topics.ensure({ name: 'short', partitions: 1, retentionMs: null, retentionBytes: 50_000 });
  const append = (topic: string, text: string) =>
    engine.store.append({ topic, partition: 0, set: recordSetOf([{ data: Buffer.from(text) }]) });
  const reclaim = async (): Promise<void> => {
    let before = 0;
    for (;;) {
      await engine.applyRetention();
      await engine.compact();
      const { value } = engine.metrics().find(({ name }) => name.includes('segments_compacted')) ?? { value: 0 };
      if (value > before) console.log(`compacted ${value - before}`);
      before = value;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  let { nextOffset } = await engine.store.state({ topic: 'long', partition: 0 });
  void reclaim();
  for (;;) {
    await append('long', `${nextOffset}`);
    console.log(`acked ${nextOffset++}`);
    // An append can be answered without a turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 5; i++) await append('short', 'x'.repeat(2000));
  }
}

if (process.argv[1] === import.meta.filename) await main(process.argv[2] as string);
