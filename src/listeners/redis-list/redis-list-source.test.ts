import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import { until, untilStill } from '../../core/testing/until.ts';
import { LIST, ListBench, numbered } from './list-bench.fixture.ts';

const skip = missingRedis();
const OWN = `${LIST}:tandem:a/0`;

test('in the order of the pushes, soon after each; after a drain nothing but a name is left in Redis', {
  skip,
}, async (t) => {
  const bench = await ListBench.open(t);
  const { source } = bench.take();
  const items = ['{"id":1}', '', 'grün\r\n', ...numbered(20)];
  for (const [index, item] of items.entries()) {
    await bench.push(item);
    await until(`${item} is stored`, async () => (await bench.count()) === index + 1, 2000);
  }
  assert.deepEqual(
    (await bench.stored()).filter(({ length }) => length > 0),
    [items],
  );
  const value = (name: string) => source.metrics().find((each) => each.name === `tandem_listener_${name}`)?.value;
  assert.equal(value('items_total'), items.length);
  assert.equal(value('is_sound'), 1);
  await source.drain(1000);
  assert.deepEqual(await bench.server.call('KEYS', '*'), [`${LIST}:tandem:takers`]);
  assert.deepEqual(bench.logged, []);
});

test('from=left is for those who push onto the right', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(1000);
  for (const item of items.slice(0, 10)) await bench.server.call('RPUSH', LIST, item);
  bench.take({ from: 'left' });
  await bench.server.call('RPUSH', LIST, ...items.slice(10));
  await until('all is stored', async () => (await bench.count()) === items.length);
  assert.deepEqual((await bench.stored()).flat(), items);
});

test('what is too large is kept aside, and holds up nothing, whenever it is found', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const large = 'x'.repeat(1001);
  await bench.push('a', large, 'b');
  const { source } = bench.take();
  await until('the small ones are stored', async () => (await bench.count()) === 2);
  // One that the server hands over while the taker waits, and one behind it.
  await bench.push(large);
  await bench.push('c');
  await until('the small ones are stored', async () => (await bench.count()) === 3);
  await bench.untilEmptied();
  assert.deepEqual(await bench.server.call('LRANGE', `${LIST}:tandem:refused`, '0', '-1'), [large, large]);
  assert.equal(bench.events('redis_list_items_refused').length, 2);
  assert.equal(source.metrics().find(({ name }) => name === 'tandem_listener_refused_items_total')?.value, 2);
  await bench.assertOnce(['a', 'b', 'c']);
});

test('takers share a list; one that goes leaves nothing behind', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const takers = ['a/0', 'a/1', 'b/0'].map((taker) => bench.take({ taker }));
  const items = numbered(20_000);
  await bench.push(...items.slice(0, 10_000));
  await takers[1]?.source.drain(5000);
  await bench.push(...items.slice(10_000));
  await bench.untilEmptied();
  await bench.assertOnce(items);
  const taken = takers.map(
    ({ source }) => source.metrics().find(({ name }) => name.endsWith('items_total'))?.value ?? 0,
  );
  assert.ok(
    taken.every((count) => count > 1000),
    `${taken}`,
  );
});

test('a node of an older term on the same store: what it left is had at once', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(2000);
  await bench.push(...items);
  const first = bench.take();
  first.engine.faults.hold();
  await until('it has taken some', async () => Number(await bench.server.call('LLEN', OWN)) > 500);
  first.kill();
  bench.take({ taker: 'b/0', nodeTerm: 2 });
  await bench.untilEmptied(3000);
  await bench.assertOnce(items);
  assert.equal(bench.events('redis_list_taken_over')[0]?.['taker'], 'a/0');
});

test('a living one is left alone: by others, and by one of the same name but an older term', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  await bench.push(...numbered(1000));
  const first = bench.take({ slotTerm: 5, nodeTerm: 5 });
  first.engine.faults.hold();
  await until('it has taken some', async () => Number(await bench.server.call('LLEN', OWN)) > 500);
  bench.take({ taker: 'b/0', nodeTerm: 5 });
  bench.take({ taker: 'c/0', nodeTerm: 6, isOnlyActive: false });
  bench.take({ slotTerm: 4, nodeTerm: 5 });
  await until('the other of the name says so', () =>
    bench.events('redis_list_interrupted').some(({ reason }) => /different names/.test(String(reason))),
  );
  assert.ok(Number(await bench.server.call('LLEN', OWN)) > 500);
  first.engine.faults.release();
  await bench.untilEmptied();
  await bench.assertOnce(numbered(1000));
  assert.deepEqual(bench.events('redis_list_taken_over'), []);
});

test('another topic, another limit: what was taken before goes where it was to go', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(300);
  await bench.push(...items);
  const first = bench.take();
  first.engine.faults.hold();
  await until('it has taken all', async () => (await bench.server.call('LLEN', OWN)) === 300);
  first.kill();
  bench.take({ slotTerm: 2, topic: 'others', recordBytesMax: 3 });
  await bench.untilEmptied();
  await bench.push('four', 'new');
  await until('it is stored', async () => (await bench.stored('others')).flat().length === 1);
  assert.deepEqual((await bench.stored('others')).flat(), ['new']);
  await bench.assertOnce(items);
});

test('a key of another type is told once, and nothing else suffers', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  await bench.server.call('SET', LIST, 'not a list');
  bench.take();
  await until('it is told', () => bench.events('redis_list_interrupted').length > 0);
  await bench.server.call('DEL', LIST);
  await bench.push('a');
  await until('it is stored', async () => (await bench.count()) === 1);
  assert.match(String(bench.events('redis_list_interrupted')[0]?.['reason']), /WRONGTYPE/);
  assert.equal(bench.events('redis_list_interrupted').length, 1);
  assert.equal(bench.events('redis_list_restored').length, 1);
});

test('a wrong password is told, never shown, and can be mended there', { skip }, async (t) => {
  const bench = await ListBench.open(t, [], 'right');
  bench.take({ endpoint: { ...bench.endpoint, password: 'secret-but-wrong' } });
  await until('it is told', () => bench.events('redis_list_interrupted').length > 0);
  assert.match(JSON.stringify(bench.logged), /WRONGPASS/);
  assert.doesNotMatch(JSON.stringify(bench.logged), /secret-but-wrong/);
  await bench.server.call('CONFIG', 'SET', 'requirepass', '');
});

test('a Redis without memory left can be emptied', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const { server } = bench;
  bench.take();
  await bench.push('first');
  await until('it works', async () => (await bench.count()) === 1);
  await bench.untilEmptied();
  await bench.push(...numbered(100));
  await server.call('CONFIG', 'SET', 'maxmemory', '1');
  await until('all is stored', async () => (await bench.count()) === 101);
  await bench.untilEmptied();
  await server.call('CONFIG', 'SET', 'maxmemory', '0');
  await bench.push('last');
  await bench.untilEmptied();
  await bench.assertOnce(['first', ...numbered(100), 'last']);
});

test('no more is taken than ingest is willing to take', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const items = numbered(30_000);
  await bench.push(...items);
  const { engine } = bench.take({ limits: { ingestBytesMax: 20_000 } });
  engine.faults.hold();
  const taken = await untilStill('it takes no more', async () => Number(await bench.server.call('LLEN', OWN)));
  // 12 bytes each, as ingest counts them, and one call too many.
  assert.ok(taken > 1000 && taken < 2000, `${taken} in hand`);
  engine.faults.release();
  await bench.untilEmptied();
  await bench.assertOnce(items);
});

test('Redis restarts, again and again: each item once', { skip }, async (t) => {
  const bench = await ListBench.open(t, ['appendonly yes', 'appendfsync always']);
  const items = numbered(6000);
  bench.take();
  bench.take({ taker: 'a/1' });
  for (let round = 0; round < 3; round++) {
    await bench.push(...items.slice(round * 2000, (round + 1) * 2000));
    if (round === 1) await bench.server.terminate();
    await bench.server.restart();
  }
  await bench.untilEmptied();
  await bench.assertOnce(items);
});

test('a Redis that hangs is given up, and gone on with when it lives', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  bench.take();
  await bench.push('a');
  await until('it works', async () => (await bench.count()) === 1);
  bench.server.pause();
  await until('it is told', () => bench.events('redis_list_interrupted').length > 0);
  bench.server.resume();
  await bench.push('b');
  await until('it is stored', async () => (await bench.count()) === 2);
  await bench.assertOnce(['a', 'b']);
});

test('the rights that docs/redis.md names are enough, and what is missing is told', { skip }, async (t) => {
  const bench = await ListBench.open(t);
  const docs = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8');
  const rights = /`(~message_queue ~[^`]+)` and `(\+eval [^`]+)`/.exec(docs)?.slice(1).join(' ').split(' ');
  assert.ok(rights && rights.length > 15);
  await bench.server.call('ACL', 'SETUSER', 'taker', 'on', '>pw', ...rights);
  const endpoint = { ...bench.endpoint, username: 'taker', password: 'pw' };
  const first = bench.take({ endpoint });
  await bench.push('a', 'x'.repeat(1001));
  await until('it is stored', async () => (await bench.count()) === 1);
  await bench.push('b');
  await bench.untilEmptied();
  first.kill();
  bench.take({ endpoint, taker: 'b/0', nodeTerm: 2 });
  await bench.push('c');
  await until('all is stored', async () => (await bench.count()) === 3);
  await bench.server.call('ACL', 'SETUSER', 'taker', '-blmove');
  await bench.server.call('CLIENT', 'KILL', 'USER', 'taker');
  await until('it is told', () => bench.logged.some(({ fields }) => /NOPERM.*blmove/.test(String(fields['reason']))));
});
