import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WELL } from './simulation/sim-duties.fixture.ts';
import { Stage } from './stage.fixture.ts';

test('alone: the first serves when start resolves, the second is told who has the data', async () => {
  const stage = new Stage('kernel', { nodes: 2, isAlone: true });
  const ends = [] as { name: string; error: unknown }[];
  await stage.until('both are started', () => stage.world.living.length === 2, 100);
  for (const { name, started } of stage.world.nodes)
    started.then(
      () => ends.push({ name, error: undefined }),
      (error) => ends.push({ name, error }),
    );
  await stage.until('both know', () => ends.length === 2, 500);
  const [active] = stage.active;
  assert.ok(active);
  assert.equal(stage.active.length, 1);
  const { error } = ends.find(({ name }) => name !== active.name) as { error: { code: string; data: unknown } };
  assert.equal(error.code, 'TANDEM_DATA_LOCKED');
  assert.deepEqual(error.data, { holder: active.process.holder, term: 1 });
  stage.world.kill(active);
  await stage.run(3000);
  assert.equal(stage.active.length, 0, 'who was refused does not wait');
});

test('alone, with time-outs: what is left of the last run is waited for', async () => {
  const stage = new Stage('timed', { nodes: 1, isAlone: true });
  await stage.run(300);
  const [first] = stage.active;
  assert.ok(first);
  stage.world.kill(first);
  stage.world.start(first);
  await stage.until('it serves again', () => stage.active.length === 1, stage.world.timers.ttlMs + 500);
});

test('alone: a start that fails is the end, with its error, and the lease is free', async () => {
  const stage = new Stage('kernel', { nodes: 1, isAlone: true });
  const [node] = stage.world.nodes;
  assert.ok(node);
  node.faults = { ...WELL, promoteFails: 1 };
  await stage.until('it is started', () => stage.world.living.length === 1, 100);
  const settled = stage.settled(node.started);
  await stage.until('it has failed', () => settled.atMs !== undefined, 1000);
  assert.equal(settled.error?.code, 'TANDEM_WORKER_LOST');
  assert.equal(stage.world.leases.holder, undefined);
  assert.equal(node.elector.status().phase, 'stopped');
  await stage.run(3000);
  assert.equal(stage.world.checker.starts, 1);
});
