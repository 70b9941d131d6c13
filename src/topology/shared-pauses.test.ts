import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '../core/contracts/telemetry.ts';
import { TandemError } from '../core/errors.ts';
import { ManualClock } from '../core/ports/manual-clock.ts';
import { OwnPauses } from './consumer-pauses.ts';
import { SharedPauses } from './shared-pauses.ts';

/** Two nodes of one store that can be away. */
function openPair(t: TestContext) {
  const paused = new Set<string>();
  const listeners = new Set<() => void>();
  const clock = new ManualClock();
  const store = {
    isAway: false,
    async names() {
      if (store.isAway) throw new TandemError('TANDEM_STORE_UNREACHABLE');
      return [...paused];
    },
    async set(name: string, isPaused: boolean) {
      if (store.isAway) throw new TandemError('TANDEM_STORE_UNREACHABLE');
      if (isPaused) paused.add(name);
      else paused.delete(name);
      for (const listener of listeners) listener();
    },
    onChange(listener: () => void) {
      listeners.add(listener);
      listener();
      return () => listeners.delete(listener);
    },
  };
  const open = () => {
    const kept = new Set<string>();
    const copy = new OwnPauses(
      () => [...kept],
      (name, isPaused) => (isPaused ? kept.add(name) : kept.delete(name)),
    );
    const heard: string[] = [];
    const pauses = new SharedPauses({ copy, store, clock, logger: silentLogger });
    pauses.onChange((name) => heard.push(`${pauses.names.includes(name) ? 'pause' : 'resume'} ${name}`));
    t.after(() => pauses.close());
    return { pauses, heard, kept };
  };
  return { store, paused, clock, a: open(), b: open() };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

test('what one node is told the other hears, once, and keeps a copy of', async (t) => {
  const { a, b } = openPair(t);
  await a.pauses.set('save', true);
  await turns();
  assert.deepEqual([a.heard, b.heard, b.pauses.names, [...b.kept]], [[], ['pause save'], ['save'], ['save']]);
  await b.pauses.set('save', false);
  await turns();
  assert.deepEqual([a.heard, b.heard, a.pauses.names], [['resume save'], ['pause save'], []]);
});

test('nothing changes while the store is away; what it says when it is back counts', async (t) => {
  const { store, paused, clock, a, b } = openPair(t);
  await a.pauses.set('save', true);
  await turns();
  store.isAway = true;
  await assert.rejects(b.pauses.set('save', false), { code: 'TANDEM_STORE_UNREACHABLE' });
  const reloaded = b.pauses.reload(500);
  await turns();
  await clock.advance(500);
  await reloaded;
  assert.deepEqual(b.pauses.names, ['save']);
  store.isAway = false;
  paused.clear();
  await b.pauses.reload(500);
  assert.deepEqual([b.pauses.names, b.heard], [[], ['pause save', 'resume save']]);
});

test('a change that could not be read is read later', async (t) => {
  const { store, paused, clock, a, b } = openPair(t);
  await turns();
  paused.add('save');
  store.isAway = true;
  const { names } = store;
  await a.pauses.set('other', true).catch(() => {});
  store.isAway = false;
  // It fails for b alone, and once.
  let failures = 0;
  store.names = () => {
    store.names = names;
    failures++;
    return Promise.reject(new TandemError('TANDEM_STORE_UNREACHABLE'));
  };
  await store.set('third', true);
  await turns();
  assert.equal(failures, 1);
  await clock.advance(1000);
  await turns();
  assert.deepEqual(
    [a.pauses.names.toSorted(), b.pauses.names.toSorted()],
    [
      ['save', 'third'],
      ['save', 'third'],
    ],
  );
});
