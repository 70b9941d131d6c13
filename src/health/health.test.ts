import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { AppendBatch, AppendResult, RecordStore } from '../core/contracts/engine.ts';
import { TandemError } from '../core/errors.ts';
import { ManualClock } from '../core/ports/manual-clock.ts';
import { recordSetOf } from '../core/record-set.ts';
import { decideHealth, type NodeFacts } from './node-health.ts';
import { diskProblem, watchAppends } from './store-problems.ts';

const WELL: NodeFacts = {
  ...{ role: 'active', roleReason: '', term: 3, slots: 2, serving: 2, isStopping: false, storeProblem: undefined },
  isHandingOver: false,
};

test('a node gets traffic if a worker serves and the store takes appends', () => {
  assert.deepEqual(decideHealth(WELL), { isReady: true, role: 'active', term: 3, reason: 'ok' });
  assert.deepEqual(decideHealth({ ...WELL, serving: 1 }).reason, '1 of 2 workers serve');
  for (const facts of [
    { serving: 0 },
    { isStopping: true },
    { isHandingOver: true },
    { storeProblem: 'TANDEM_DISK_FULL: x' },
  ])
    assert.equal(decideHealth({ ...WELL, ...facts }).isReady, false);
  assert.equal(decideHealth({ ...WELL, storeProblem: 'TANDEM_DISK_FULL: x' }).reason, 'TANDEM_DISK_FULL: x');
});

test('a standby is well and gets no traffic', () => {
  const facts: NodeFacts = { ...WELL, role: 'standby', roleReason: 'a is active', term: 0, serving: 0 };
  assert.deepEqual(decideHealth(facts), { isReady: false, role: 'standby', term: 0, reason: 'a is active' });
});

test('a folder with room has no problem, a missing one has', async () => {
  assert.equal(await diskProblem(tmpdir()), undefined);
  assert.match((await diskProblem('/nowhere/at/all')) ?? '', /^TANDEM_STORE_FAILED/);
});

test('a failed append is a problem until the next one succeeds or five seconds have passed', async () => {
  const clock = new ManualClock();
  let answer: () => Promise<AppendResult> = () => Promise.reject(new TandemError('TANDEM_DISK_FULL'));
  const inner = { append: () => answer() } as unknown as RecordStore;
  const watch = watchAppends(inner, clock);
  const batch: AppendBatch = { topic: 't', partition: 0, set: recordSetOf([]) };
  await assert.rejects(watch.store.append(batch));
  assert.match(watch.problem ?? '', /TANDEM_DISK_FULL/);
  await clock.advance(6000);
  assert.equal(watch.problem, undefined);
  await assert.rejects(watch.store.append(batch));
  answer = () => Promise.resolve({ epoch: 'e', runs: [] });
  await watch.store.append(batch);
  assert.equal(watch.problem, undefined);
  answer = () => Promise.reject(new TandemError('TANDEM_TOPIC_UNKNOWN'));
  await assert.rejects(watch.store.append(batch));
  assert.equal(watch.problem, undefined, 'the caller was wrong, not the store');
});
