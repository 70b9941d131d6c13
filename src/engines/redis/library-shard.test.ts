/** Calls in hand while the history changes, or the library is lost: made again, once, in their order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingRedis } from '../../core/testing/redis-servers/installed.ts';
import type { ServerProcess } from '../../core/testing/redis-servers/server-process.ts';
import { startRedis } from '../../core/testing/redis-servers/start-redis.ts';
import { until } from '../../core/testing/until.ts';
import { append, codeOf, ensureTopic, openEngine, PLACE, readTexts, setOf, texts } from './redis-engine.fixture.ts';

const skip = missingRedis();

/** Another history, as after an adoption by somebody else; or none: the server has to be adopted. */
const changeHistory = (server: ServerProcess, round: number): Promise<unknown> =>
  round % 2 === 0
    ? server.call('HSET', '{tandem:0}:shard', 'history', `${100 + round}-other`)
    : server.call('HSET', '{tandem:0}:shard', 'incarnation', 'another', 'history', `${100 + round}-other`);

test('appends in flight keep their order over changes of the history', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const epochs = new Set<string>();
  const appended: Promise<void>[] = [];
  let sent = 0;
  for (let round = 0; round < 6; round++) {
    void changeHistory(server, round);
    // Until one was stored under the new history.
    for (const known = epochs.size; epochs.size === known; ) {
      for (let i = 0; i < 10; i++)
        appended.push(append(engine, [`x-${sent++}`]).then(({ epoch }) => void epochs.add(epoch)));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await Promise.all(appended);
  assert.deepEqual(await readTexts(engine), texts('x', sent));
});

test('a library that was removed is loaded again', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  await append(engine, ['x-0']);
  await server.call('FUNCTION', 'FLUSH');
  const appends = texts('x', 50, 1).map((text) => append(engine, [text]));
  await Promise.all(appends);
  assert.deepEqual(await readTexts(engine), texts('x', 51));
});

test('after an append of a producer that was refused, none of those in flight behind it is stored', {
  skip,
}, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine, 2);
  const send = (sequence: number) =>
    engine.store.append({ ...PLACE, set: setOf(`s-${sequence}`), producer: { id: 'p', sequence } });
  await send(1);
  // Another process has let the producer leave out 2 to 9.
  await engine.store.append({ ...PLACE, set: setOf('s-10'), producer: { id: 'p', sequence: 10 } });
  // One that fails at the server and is followed by others without waiting.
  await server.call('CONFIG', 'SET', 'maxmemory', '1');
  const refused = [11, 12].map(send);
  const settled = await Promise.allSettled(refused);
  assert.deepEqual(
    settled.map((one) => (one.status === 'rejected' ? one.reason.code : 'stored')),
    ['TANDEM_DISK_FULL', 'TANDEM_DISK_FULL'],
  );
  await server.call('CONFIG', 'SET', 'maxmemory', '0');
  assert.deepEqual(
    (await Promise.all([11, 12, 13].map(send))).map(({ runs }) => runs[0]?.isDuplicate),
    [false, false, false],
  );
  assert.deepEqual(await readTexts(engine), ['s-1', 's-10', 's-11', 's-12', 's-13']);
  await assert.rejects(send(5), { code: 'TANDEM_PRODUCER_INVALID', data: { sequence: 5 } });
});

test('what follows a refused append of a producer is refused by the server too', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const id = 'p';
  let hits = 0;
  for (let round = 0; round < 20; round++) {
    const first = 1 + (await engine.store.lastSequence(PLACE, id));
    const sends: Promise<boolean>[] = [];
    let isRefused = false;
    for (let i = 0; i < 200 && !isRefused; i++) {
      const sequence = first + i;
      const sent = engine.store.append({ ...PLACE, set: setOf(`s-${sequence}`), producer: { id, sequence } });
      const refused = (): boolean => {
        isRefused = true;
        return false;
      };
      sends.push(sent.then(() => true, refused));
      // Memory is there again while they are in flight.
      if (i === 50)
        void server.call('CONFIG', 'SET', 'maxmemory', '1').then(() => server.call('CONFIG', 'SET', 'maxmemory', '0'));
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const stored = await Promise.all(sends);
    const lost = stored.indexOf(false);
    if (lost >= 0)
      assert.ok(
        stored.slice(lost).every((one) => !one),
        `${stored.map(Number).join('')}`,
      );
    if (lost >= 0 && lost < stored.length - 1) hits++;
  }
  await server.call('CONFIG', 'SET', 'maxmemory', '0');
  assert.ok(hits > 0, 'some were in flight behind one that was refused');
  const all = await readTexts(engine);
  assert.deepEqual(all, texts('s', all.length, 1));
});

test('appends that wait for a server which comes back keep their order', { skip }, async (t) => {
  const { server, url } = await startRedis(t, { config: ['appendonly yes', 'appendfsync always'] });
  const engine = await openEngine(t, url);
  await ensureTopic(engine);
  const epochs = new Set<string>();
  const acked: string[] = [];
  const appended: Promise<void>[] = [];
  let sent = 0;
  const send = (): void => {
    const text = `x-${sent++}`;
    const stored = append(engine, [text]).then(
      ({ epoch }) => {
        epochs.add(epoch);
        acked.push(text);
      },
      (error: unknown) => assert.equal(codeOf(error), 'TANDEM_STORE_UNREACHABLE'),
    );
    appended.push(stored);
  };
  for (let round = 1; round <= 3; round++) {
    send();
    await until('some were stored under this history', () => epochs.size === round);
    const restarted = server.restart();
    await until('some were stored under another history', () => {
      for (let i = 0; i < 10; i++) send();
      return epochs.size > round;
    });
    await restarted;
  }
  await Promise.all(appended);
  const numbers = (await readTexts(engine)).map((text) => Number(text.slice(2)));
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  const stored = new Set(numbers);
  assert.ok(acked.every((text) => stored.has(Number(text.slice(2)))));
  assert.equal(stored.size, numbers.length, 'once');
});
