import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimNode } from './simulation/world.fixture.ts';
import { Stage } from './stage.fixture.ts';
import { Tenure } from './tenure.ts';

const LIMITS = { takeoversMax: 2, takeoverWindowMs: 60_000 };
const marks = (...terms: number[]) => terms.map((term) => ({ term, atMs: 1000 + term }));

test('beyond the maximum the wait doubles from 1 s to 30 s, and ends with the window', () => {
  const tenure = new Tenure(LIMITS);
  const waits = Array.from({ length: 9 }, (_, index) => {
    tenure.learn(marks(index + 1), 1010);
    return tenure.waitMs(1010);
  });
  assert.deepEqual(waits, [0, 0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(tenure.takeovers(1010).length, LIMITS.takeoversMax + 6, 'what is remembered is bounded');
  assert.equal(tenure.waitMs(62_000), 0);
});

test('a takeover that several tell of counts once, in whichever order', () => {
  const tenure = new Tenure(LIMITS);
  tenure.learn(marks(3, 5), 2000);
  tenure.learn(marks(5, 3), 2000);
  tenure.learn(marks(4, 5), 2000);
  assert.deepEqual(
    tenure.takeovers(2000).map(({ term }) => term),
    [3, 4, 5],
  );
});

test('a wall clock that is ahead does not make a takeover count for longer', () => {
  const tenure = new Tenure(LIMITS);
  tenure.learn([{ term: 1, atMs: 1_000_000 }], 5000);
  assert.equal(tenure.takeovers(5000).length, 1);
  assert.equal(tenure.takeovers(66_000).length, 0);
});

test('how the last active ended says what the next takeover is', () => {
  const tenure = new Tenure(LIMITS);
  assert.equal(tenure.succession, 'first');
  assert.ok(tenure.sawActive('a/1', 4));
  assert.ok(!tenure.sawActive('a/1', 4));
  assert.ok(!tenure.sawActive('b/1', 3), 'old news');
  assert.equal(tenure.succession, 'unplanned');
  assert.ok(!tenure.sawStandby('b/1'));
  assert.ok(tenure.sawStandby('a/1'));
  assert.equal(tenure.succession, 'planned');
  tenure.sawActive('b/1', 5);
  tenure.learn([{ term: 5, atMs: 10 }], 10);
  tenure.sawStandby('b/1');
  assert.equal(tenure.succession, 'unplanned', 'it stands by because it had lost its lease');
});

test('when every active dies, candidates wait; one that was just started knows it from the others', async () => {
  const stage = new Stage('kernel', { timers: { takeoversMax: 2, takeoverWindowMs: 600_000 } });
  let active = await stage.started();
  const tooks: number[] = [];
  for (let round = 0; round < 6; round++) {
    stage.world.kill(active);
    const { node, tookMs } = await stage.successor(active, 40_000);
    tooks.push(tookMs);
    stage.world.start(active);
    active = node;
    await stage.run(1000);
  }
  const [first, second, third, fourth, fifth, sixth] = tooks as [number, number, number, number, number, number];
  assert.ok(Math.max(first, second, third) < 200, `${tooks}`);
  for (const [took, waitMs] of [
    [fourth, 1000],
    [fifth, 2000],
    [sixth, 4000],
  ] as const)
    assert.ok(took >= waitMs - 1 && took < waitMs + 500, `${tooks}`);
  for (const { elector } of stage.world.living) {
    const { takeoversInWindow, delayMs, reason } = elector.status().antiFlap;
    assert.deepEqual([takeoversInWindow, delayMs], [6, 8000]);
    assert.match(reason, /6 of 2 takeovers in 600000 ms: the next one waits/);
  }
  const target = stage.standbys[0] as SimNode;
  const { result } = await stage.switchover(active, target.name, 2000);
  assert.ok(result && result.pauseMs < 500, 'a planned transfer does not wait');
});
