/** A taker may die at any moment: each item is stored once, in the list's order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { until } from '../../core/testing/until.ts';
import { cutAt, LIST, ListBench, numbered } from './list-bench.fixture.ts';

const skip = missingRedis();
const OWN = `${LIST}:tandem:a/0`;

for (const isExecuted of [false, true])
  for (const heir of ['the same place', 'another taker'])
    test(`killed at each call, ${isExecuted ? 'done' : 'not done'}; ${heir} goes on`, { skip }, async (t) => {
      const bench = await ListBench.open(t);
      let isOver = false;
      let cuts = 0;
      for (let at = 1; !isOver; at++) {
        await bench.reset();
        const items = numbered(700);
        await bench.push(...items);
        let isDead = false;
        const first = bench.take({
          connect: cutAt(at, isExecuted, () => {
            isDead = true;
            first.kill();
          }),
        });
        await until('dead or done', async () => isDead || (await bench.isEmptied()));
        isOver = !isDead;
        if (isDead) cuts++;
        first.kill();
        if (heir === 'another taker') await bench.server.call('DEL', `${OWN}:alive`);
        const more = numbered(20, 'x');
        await bench.push(...more);
        bench.take(heir === 'another taker' ? { taker: 'b/0' } : { slotTerm: 2 });
        await bench.untilEmptied();
        await until('all is stored', async () => (await bench.count()) >= items.length + more.length);
        await bench.assertOnce([...items, ...more]);
        for (const partition of await bench.stored())
          assert.deepEqual(partition, partition.toSorted(), `order, killed at call ${at}`);
      }
      assert.ok(cuts >= 6, `killed ${cuts} times`);
    });

test('acknowledgements that are lost, appends that fail: each item once', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(3000);
  await bench.push(...items.slice(0, 1000));
  const { engine } = bench.take();
  engine.faults.fail(1, 'TANDEM_STORE_FAILED', { isStored: true });
  engine.faults.fail(2, 'TANDEM_DISK_FULL');
  engine.faults.fail(1, 'TANDEM_STORE_FAILED', { isStored: true });
  await until('half is stored', async () => (await bench.count()) >= 500);
  engine.faults.fail(2, 'TANDEM_OWNER_UNAVAILABLE');
  await bench.push(...items.slice(1000));
  await bench.untilEmptied();
  await bench.assertOnce(items);
  const stored = (await bench.stored()).filter((partition) => partition.length > 0);
  assert.deepEqual(stored, [items]);
  assert.ok(bench.events('redis_list_interrupted').length > 0);
  assert.equal(bench.events('redis_list_restored').length > 0, true);
});

test('who was replaced changes nothing: neither what it asks late nor what it stores late', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(2000);
  await bench.push(...items);
  const first = bench.take();
  first.engine.faults.hold();
  await until('it has taken some', async () => Number(await bench.server.call('LLEN', OWN)) > 500);
  const second = bench.take({ slotTerm: 2 });
  await bench.untilEmptied();
  const later = numbered(1000, 'x');
  second.engine.faults.hold();
  await bench.push(...later);
  await until('the second has them', async () => Number(await bench.server.call('LLEN', OWN)) === later.length);
  // All that the first has in hand is answered now, and what it crosses off would be the second's.
  first.engine.faults.release();
  await until('the first has noticed', () =>
    bench.logged.some(({ fields }) => /another process/.test(String(fields['reason']))),
  );
  second.kill();
  bench.take({ slotTerm: 3 });
  await bench.untilEmptied();
  await bench.assertOnce([...items, ...later]);
});

test('Redis goes back to an earlier state: nothing is dropped as a repeat that is none', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const { server } = bench;
  await bench.push(...numbered(100, 'a'));
  const first = bench.take();
  await until('all is stored', async () => (await bench.count()) === 100);
  await bench.untilEmptied();
  const state = (await server.call('HGETALL', `${OWN}:state`)) as string[];
  await bench.push(...numbered(50, 'b'));
  await until('all is stored', async () => (await bench.count()) === 150);
  first.kill();
  // As a replica that had missed the last writes: the fifty were never taken, and others come before them.
  await server.call('DEL', `${OWN}:alive`);
  await server.call('HSET', `${OWN}:state`, ...state);
  await bench.push(...numbered(80, 'c'));
  bench.take({ slotTerm: 2 });
  await bench.untilEmptied();
  await bench.assertOnce([...numbered(100, 'a'), ...numbered(50, 'b'), ...numbered(80, 'c')]);
});

test('it goes back while items are on their way to the store: they are waited for', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const { server } = bench;
  await bench.push(...numbered(100, 'a'));
  const { engine } = bench.take();
  engine.faults.hold();
  await until('they are in hand', async () => (await server.call('LLEN', OWN)) === 100);
  await server.call('DEL', OWN);
  await bench.push(...numbered(80, 'c'));
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal');
  // Long enough for one that would not wait.
  const startMs = performance.now();
  await until('it goes on, or waits', async () => {
    return Number(await server.call('LLEN', OWN)) > 0 || performance.now() - startMs > 2600;
  });
  engine.faults.release();
  await bench.untilEmptied();
  await bench.assertOnce([...numbered(100, 'a'), ...numbered(80, 'c')]);
});
