/** What tests of the Redis engine do over and over. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { AppendResult, Engine, TopicInfo } from '../../core/contracts/engine.ts';
import type { TandemError } from '../../core/errors.ts';
import type { TopicPartition } from '../../core/record.ts';
import { type RecordSet, recordSetOf, recordsOf } from '../../core/record-set.ts';
import { until } from '../../core/testing/until.ts';
import type { RedisEngineOptions } from './engine-settings.ts';
import { openRedisEngine, type RedisEngine } from './redis-engine.ts';

export const TOPIC = 'orders';
export const PLACE: TopicPartition = { topic: TOPIC, partition: 0 };

/** Closed with the test. */
export async function openEngine(
  t: TestContext,
  url: string,
  options: Partial<RedisEngineOptions> = {},
): Promise<RedisEngine> {
  const engine = await openRedisEngine({ ...options, url });
  t.after(() => engine.close());
  return engine;
}

export const ensureTopic = (engine: Engine, partitions = 1, topic = TOPIC): Promise<TopicInfo> =>
  engine.topics.ensure({ name: topic, partitions, retentionMs: null, retentionBytes: null });

export const setOf = (...texts: readonly string[]): RecordSet =>
  recordSetOf(texts.map((text) => ({ data: Buffer.from(text) })));

export const append = (
  engine: Engine,
  texts: readonly string[],
  place: TopicPartition = PLACE,
): Promise<AppendResult> => engine.store.append({ ...place, set: setOf(...texts) });

/** `count` different texts. */
export const texts = (prefix: string, count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${first + i}`);

export async function readTexts(engine: Engine, place: TopicPartition = PLACE): Promise<string[]> {
  const { firstOffset } = await engine.store.state(place);
  const found: string[] = [];
  for (;;) {
    const offset = firstOffset + found.length;
    const { batches } = await engine.store.read(place, { epoch: '', offset }, 100_000);
    if (batches.length === 0) return found;
    for (const batch of batches) found.push(...recordsOf(batch, offset).map(({ data }) => data.toString()));
  }
}

export const codeOf = (error: unknown): string => (error as TandemError).code;

/** The server is back, or another one has taken its place: calls are answered again. */
export async function untilServed(engine: Engine, place: TopicPartition = PLACE): Promise<void> {
  await until('calls are answered again', () =>
    engine.store.state(place).then(
      () => true,
      (error: unknown) => {
        assert.match(codeOf(error), /^TANDEM_STORE_UNREACHABLE$/);
        return false;
      },
    ),
  );
}

/** Rejected with TANDEM_POSITION_LOST; gives where the reader can go on. */
export async function lostAt(
  engine: Engine,
  epoch: string,
  offset: number,
  place: TopicPartition = PLACE,
): Promise<unknown> {
  try {
    await engine.store.read(place, { epoch, offset }, 1000);
  } catch (error) {
    assert.equal(codeOf(error), 'TANDEM_POSITION_LOST');
    return (error as TandemError).data;
  }
  assert.fail(`${offset} of ${epoch} was answered`);
}
