/** Which sequences of a producer are stored: random appends with and without origins, compared with a model that remembers all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../../core/errors.ts';
import { seededRandom } from '../../core/ports/random.ts';
import { recordsOf } from '../../core/record-set.ts';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { append, ensureTopic, openEngine, PLACE, readTexts, setOf, texts } from './redis-engine.fixture.ts';

const skip = missingRedis();

class Model {
  readonly stored: string[] = [];
  readonly places = new Map<number, number>();
  last = 0;

  /** For each sequence: whether it is a repeat; undefined: the append is refused. */
  append(sequence: number, count: number, mayFill: boolean): boolean[] | undefined {
    const lowest = Math.min(...this.places.keys());
    const repeats: boolean[] = [];
    for (let s = sequence; s < sequence + count; s++) {
      const isLeftOut = !this.places.has(s) && s <= this.last;
      if (isLeftOut && !mayFill && s > lowest) return undefined;
      repeats.push(this.places.has(s) || (isLeftOut && !mayFill));
    }
    for (const [i, isRepeat] of repeats.entries())
      if (!isRepeat) {
        this.places.set(sequence + i, this.stored.length);
        this.stored.push(`s-${sequence + i}`);
        this.last = Math.max(this.last, sequence + i);
      }
    return repeats;
  }
}

test('what is stored is what a model that remembers all stores', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const engine = await openEngine(t, url);
  for (let seed = 1; seed <= 15; seed++) {
    const random = seededRandom(seed);
    const below = (end: number): number => Math.floor(random.fraction() * end);
    const place = { topic: `t-${seed}`, partition: 0 };
    await ensureTopic(engine, 1, place.topic);
    const model = new Model();
    let originSequence = 1;
    for (let step = 0; step < 60; step++) {
      const isForwarded = below(3) === 0;
      const sequence = Math.max(1, model.last + 4 - below(14));
      const count = 1 + below(8);
      const what = `seed ${seed} step ${step}: ${isForwarded ? 'forwarded ' : ''}${sequence} x ${count}`;
      const expected = model.append(sequence, count, isForwarded);
      const sent = engine.store.append({
        ...place,
        set: setOf(...texts('s', count, sequence)),
        producer: { id: 'p', sequence },
        ...(isForwarded ? { origin: { id: 'o', sequence: originSequence } } : {}),
      });
      if (expected === undefined) {
        await assert.rejects(sent, { code: 'TANDEM_PRODUCER_INVALID' }, what);
        continue;
      }
      const { runs } = await sent;
      if (isForwarded) originSequence += count;
      let at = 0;
      for (const { count: length, firstOffset, isDuplicate } of runs)
        for (let i = 0; i < length; i++, at++) {
          assert.equal(isDuplicate, expected[at], what);
          if (firstOffset !== -1) assert.equal(model.stored[firstOffset + i], `s-${sequence + at}`, what);
        }
      assert.equal(at, count, what);
      assert.equal(await engine.store.lastSequence(place, 'p'), model.last, what);
    }
    assert.deepEqual(await readTexts(engine, place), model.stored);
    // The producers that stand in the batches are right for each record.
    const { batches } = await engine.store.read(place, { epoch: '', offset: 0 }, 1_000_000);
    for (const batch of batches)
      for (const [i, { data }] of recordsOf(batch).entries())
        assert.equal(data.toString(), `s-${(batch.producer?.sequence ?? 0) + i}`);
  }
});

test('producers that were not seen for long, or are too many, are forgotten', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const limits = { producerRetentionMs: 3_600_000, producersPerPartitionMax: 50 };
  const { DEFAULT_LIMITS } = await import('../../core/limits.ts');
  const engine = await openEngine(t, url, { limits: { ...DEFAULT_LIMITS, ...limits } });
  await ensureTopic(engine);
  const send = (id: string) => engine.store.append({ ...PLACE, set: setOf(id), producer: { id, sequence: 1 } });
  await Promise.all(texts('p', 600).map(send));
  await engine.applyRetention();
  const known = await Promise.all(texts('p', 600).map((id) => engine.store.lastSequence(PLACE, id)));
  const count = known.filter((last) => last === 1).length;
  assert.ok(count >= 25 && count <= 60, `${count} producers`);
  await send('late');
  assert.equal(await engine.store.lastSequence(PLACE, 'late'), 1);
});

test('a producer’s id may hold anything that is allowed', { skip }, async (t) => {
  const { url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  for (const id of ['{tandem}:shard', ':', '*', '"', "'", '%', 'a'.repeat(128), '0', '-']) {
    const sent = await engine.store.append({ ...PLACE, set: setOf(id), producer: { id, sequence: 7 } });
    assert.equal(sent.runs[0]?.isDuplicate, false);
    assert.equal(await engine.store.lastSequence(PLACE, id), 7);
    assert.equal(await engine.store.originSequence(PLACE, id), 0);
  }
  assert.equal((await append(engine, ['x'])).runs[0]?.firstOffset, 9);
  await assert.rejects(
    engine.store.append({ ...PLACE, set: { count: 2, lengths: new Uint32Array([1, 1]), data: Buffer.from('no') } }),
    TandemError,
  );
});
