/**
 * Law: append order.
 * - Offsets of a partition MUST be dense integers from 0, in the order of the calls of a process, however many are in flight.
 * - The records of a batch MUST be consecutive, and come back byte for byte with key and headers.
 * - Partitions and topics MUST NOT influence each other's offsets.
 * - Appends of several processes MAY interleave, but each one's order MUST hold.
 * - The engine MUST copy what it keeps: the caller MAY reuse the set's memory once the append has settled.
 * - A batch above the limits MUST be refused with TANDEM_BATCH_TOO_LARGE and leave nothing; one larger record alone MUST be taken.
 * - An unknown topic or partition MUST be refused with TANDEM_TOPIC_UNKNOWN or TANDEM_PARTITION_UNKNOWN.
 */
import assert from 'node:assert/strict';
import { BATCH_BYTES_MAX, BATCH_RECORDS_MAX } from '../../../core/limits.ts';
import { RecordSetBuilder } from '../../../core/record-set.ts';
import {
  append,
  appendRecords,
  ensureTopic,
  type Law,
  type LawContext,
  PLACE,
  readAll,
  readTexts,
  storedAt,
  TOPIC,
  textSet,
  texts,
} from '../law.ts';

export const appendOrder: Law = {
  name: 'append-order',
  cases: [
    { name: 'offsets are dense in the order of the calls, many in flight', run: manyInFlight },
    { name: 'records come back byte for byte', run: byteForByte },
    { name: 'partitions and topics count for themselves', run: independentPartitions },
    {
      name: 'each of two processes keeps its order',
      members: 2,
      needs: { isShared: 'two processes' },
      run: twoProcesses,
    },
    { name: 'the memory of a settled append may be reused', run: memoryReuse },
    { name: 'a batch above the limits leaves nothing', run: tooLarge },
    { name: 'an unknown place is refused', run: unknownPlace },
  ],
};

async function manyInFlight({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const wanted: string[] = [];
  let next = 0;
  for (let round = 0; round < 5; round++) {
    const batches = Array.from({ length: 40 }, (_, i) => texts(`r${round}b${i}`, 1 + (i % 7)));
    const results = await Promise.all(batches.map((batch) => append(engine, batch)));
    for (const [i, result] of results.entries()) {
      assert.equal(storedAt(result), next);
      next += (batches[i] as string[]).length;
    }
    wanted.push(...batches.flat());
  }
  const records = await readAll(engine);
  assert.deepEqual(
    records.map(({ offset }) => offset),
    wanted.map((_, offset) => offset),
  );
  assert.deepEqual(
    records.map(({ data }) => data.toString()),
    wanted,
  );
}

async function byteForByte({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const sent = [
    { key: undefined, headers: undefined, data: Buffer.alloc(0) },
    { key: '', headers: undefined, data: everyByte },
    { key: 'schlüssel/π', headers: { a: '1', ü: '\n"' }, data: Buffer.from('text\nwith lines\n') },
    { key: undefined, headers: { only: 'headers' }, data: Buffer.alloc(0) },
    { key: undefined, headers: undefined, data: Buffer.alloc(1024 * 1024, 'x') },
  ];
  const timeBeforeMs = Date.now();
  await appendRecords(
    engine,
    sent.map(({ key, headers, data }) => ({
      data,
      ...(key === undefined ? {} : { key }),
      ...(headers && { headers }),
    })),
  );
  const records = await readAll(engine);
  assert.equal(records.length, sent.length);
  for (const [i, { key, headers, data, timeMs, topic, partition }] of records.entries()) {
    assert.deepEqual({ key, headers }, { key: sent[i]?.key, headers: sent[i]?.headers });
    assert.ok(data.equals(sent[i]?.data as Buffer), `data of record ${i}`);
    assert.deepEqual({ topic, partition }, PLACE);
    assert.ok(Math.abs(timeMs - timeBeforeMs) < 60_000, 'time is the clock at storing');
  }
}

async function independentPartitions({ engine }: LawContext): Promise<void> {
  const places = [0, 1, 2].flatMap((partition) => ['a', 'b'].map((topic) => ({ topic, partition })));
  for (const name of ['a', 'b']) await ensureTopic(engine, 3, name);
  const counts = places.map((_, i) => 5 + i);
  const results = await Promise.all(
    places.map((place, i) => append(engine, texts(`${place.topic}${place.partition}`, counts[i] as number), { place })),
  );
  for (const result of results) assert.equal(storedAt(result), 0);
  for (const [i, place] of places.entries())
    assert.deepEqual(await readTexts(engine, place), texts(`${place.topic}${place.partition}`, counts[i] as number));
}

async function twoProcesses({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [LawContext['engine'], LawContext['engine']];
  await ensureTopic(a, 2);
  await b.topics.find(TOPIC);
  for (const partition of [0, 1]) {
    const place = { topic: TOPIC, partition };
    const sends = Array.from({ length: 100 }, (_, i) => [
      append(a, [`a-${i}`], { place }),
      append(b, [`b-${i}`], { place }),
    ]);
    const offsets = (await Promise.all(sends.flat())).map(storedAt).sort((x, y) => x - y);
    assert.deepEqual(
      offsets,
      Array.from({ length: 200 }, (_, i) => i),
    );
    const stored = await readTexts(b, place);
    for (const name of ['a', 'b'])
      assert.deepEqual(
        stored.filter((text) => text.startsWith(name)),
        texts(name, 100),
      );
  }
}

async function memoryReuse({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const builder = new RecordSetBuilder();
  for (const text of ['first', 'other']) {
    builder.reset();
    builder.addData(Buffer.from(text));
    await engine.store.append({ ...PLACE, set: builder.view() });
  }
  assert.deepEqual(await readTexts(engine), ['first', 'other']);
}

async function tooLarge({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine);
  const refused = { code: 'TANDEM_BATCH_TOO_LARGE' };
  const half = 'x'.repeat(BATCH_BYTES_MAX / 2);
  await assert.rejects(append(engine, [half, half]), refused);
  await assert.rejects(append(engine, Array<string>(BATCH_RECORDS_MAX + 1).fill('')), refused);
  assert.equal((await engine.store.state(PLACE)).nextOffset, 0);
  await append(engine, [`${half}${half}!`]);
  await append(engine, Array<string>(BATCH_RECORDS_MAX).fill(''));
  const records = await readAll(engine);
  assert.equal(records.length, 1 + BATCH_RECORDS_MAX);
  assert.equal(records[0]?.data.length, BATCH_BYTES_MAX + 1);
}

async function unknownPlace({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 2);
  const { store } = engine;
  const unknown: readonly (readonly [string, { topic: string; partition: number }])[] = [
    ['TANDEM_TOPIC_UNKNOWN', { topic: 'nobody', partition: 0 }],
    ['TANDEM_PARTITION_UNKNOWN', { topic: TOPIC, partition: 2 }],
  ];
  for (const [code, place] of unknown) {
    await assert.rejects(store.append({ ...place, set: textSet('x') }), { code });
    await assert.rejects(store.read(place, { epoch: '', offset: 0 }, 1000), { code });
    await assert.rejects(store.state(place), { code });
  }
}
