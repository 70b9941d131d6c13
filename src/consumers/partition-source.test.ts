import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { RecordStore } from '../core/contracts/engine.ts';
import { openBench, TOPIC, until, withMethods } from './consumers.fixture.ts';
import { PartitionSource } from './partition-source.ts';

const PLACE = { topic: TOPIC, partition: 0 };

test('what is stored while a read that finds nothing is under way is not slept through', async (t) => {
  const bench = await openBench(t);
  const { engine } = bench.openWorker({ module: { save() {} } });
  const { epoch } = await engine.store.state(PLACE);
  let reads = 0;
  const read: RecordStore['read'] = async (...call) => {
    const result = await engine.store.read(...call);
    if (++reads === 2) {
      // The wake-up for this record comes before the empty answer does.
      await bench.append('a');
      await bench.clock.advance(0);
    }
    return result;
  };
  const source = new PartitionSource(withMethods(engine.store, { read }), PLACE);
  t.after(() => source.stop());
  let found: number | undefined;
  const next = source.next({ epoch, offset: 0 }).then((result) => {
    found = result?.batches[0]?.firstOffset;
  });
  await until(() => found === 0, 'the record');
  await next;
  assert.ok(reads >= 3);
});

test('a read ahead that failed is told when its turn comes, and one for another place is not used', async (t) => {
  const bench = await openBench(t);
  const { engine } = bench.openWorker({ module: { save() {} } });
  await bench.append('a', 'b');
  const { epoch } = await engine.store.state(PLACE);
  const source = new PartitionSource(engine.store, PLACE);
  t.after(() => source.stop());
  source.readAhead({ epoch: 'other', offset: 0 });
  await assert.rejects(() => source.next({ epoch: 'other', offset: 0 }), { code: 'TANDEM_POSITION_LOST' });
  source.readAhead({ epoch: 'other', offset: 0 });
  assert.equal((await source.next({ epoch, offset: 0 }))?.batches.length, 1);
});

test('stop ends a wait and a read that hangs', async (t) => {
  const bench = await openBench(t);
  const { engine } = bench.openWorker({ module: { save() {} } });
  const { epoch } = await engine.store.state(PLACE);
  for (const store of [engine.store, withMethods(engine.store, { read: () => new Promise(() => {}) })]) {
    const source = new PartitionSource(store, PLACE);
    const next = source.next({ epoch, offset: 0 });
    await bench.clock.advance(0);
    source.stop();
    assert.equal(await next, undefined);
  }
});

test('answers that were taken are not kept', async (t) => {
  const bench = await openBench(t);
  const { engine } = bench.openWorker({ module: { save() {} } });
  await bench.append('a');
  const { epoch } = await engine.store.state(PLACE);
  const answers: WeakRef<object>[] = [];
  const read: RecordStore['read'] = async (...call) => {
    const result = { ...(await engine.store.read(...call)) };
    answers.push(new WeakRef(result));
    return result;
  };
  const source = new PartitionSource(withMethods(engine.store, { read }), PLACE);
  t.after(() => source.stop());
  for (let i = 0; i < 20; i++) await source.next({ epoch, offset: 0 });
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  await until(() => {
    collectGarbage();
    return answers.filter((answer) => answer.deref() !== undefined).length <= 1;
  }, 'all but the last answer are garbage');
});
