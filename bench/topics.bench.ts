/** Durable appends spread over 10,000 topics against the same appends to one topic: the embedded engine in this process, rounds alternate. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../src/core/contracts/engine.ts';
import { recordSetOf } from '../src/core/record-set.ts';
import { openSingleEmbeddedEngine } from './embedded.ts';
import { atLeast, type Bench, median } from './measure.ts';

const TOPICS = 10_000;
const RECORDS_PER_APPEND = 64;
const APPENDS_PER_FLUSH = 50;
const FLUSHES = 400;
const ROUNDS = 5;
const RECORD_BYTES = 200;

export const topicsBench: Bench = async (say) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  const engine = await openSingleEmbeddedEngine(folder);
  say(`creating ${TOPICS} topics`);
  for (let i = 0; i < TOPICS; i++)
    await engine.topics.ensure({ name: `t${i}`, partitions: 1, retentionMs: null, retentionBytes: null });
  const one: number[] = [];
  const many: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    say(`1 against ${TOPICS} topics, round ${round} of ${ROUNDS}`);
    one.push(await recordsPerSecond(engine, 1));
    many.push(await recordsPerSecond(engine, TOPICS));
  }
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
  const ratio = median(many.map((rate, i) => rate / (one[i] as number)));
  return [
    {
      name: `engine appends over ${TOPICS} topics`,
      unit: 'records/s',
      value: median(many),
      rounds: many,
      peer: { name: '1 topic', value: median(one) },
      ratio,
    },
    { name: `${TOPICS} topics against 1`, unit: 'x', value: ratio, bound: atLeast(ratio, 0.8, 'x') },
  ];
};

async function recordsPerSecond(engine: Engine, topics: number): Promise<number> {
  const set = recordSetOf(
    Array.from({ length: RECORDS_PER_APPEND }, () => ({ data: Buffer.alloc(RECORD_BYTES, 'r') })),
  );
  const startedMs = performance.now();
  let next = 0;
  for (let flush = 0; flush < FLUSHES; flush++) {
    await Promise.all(
      Array.from({ length: APPENDS_PER_FLUSH }, () =>
        engine.store.append({ topic: `t${next++ % topics}`, partition: 0, set }),
      ),
    );
  }
  return ((FLUSHES * APPENDS_PER_FLUSH * RECORDS_PER_APPEND) / (performance.now() - startedMs)) * 1000;
}
