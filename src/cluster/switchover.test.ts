import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SwitchoverReport } from '../core/contracts/cluster.ts';
import { WELL } from './simulation/sim-duties.fixture.ts';
import type { SimNode } from './simulation/world.fixture.ts';
import { type Settled, Stage } from './stage.fixture.ts';

const TIMEOUT_MS = 2000;

function assertRefused({ error }: Settled<SwitchoverReport>, why: RegExp): void {
  assert.equal(error?.code, 'TANDEM_SWITCHOVER_REFUSED');
  assert.match(error?.message ?? '', why);
}

function assertAborted({ error }: Settled<SwitchoverReport>, why: RegExp): void {
  assert.equal(error?.code, 'TANDEM_SWITCHOVER_ABORTED');
  assert.match(error?.message ?? '', why);
}

for (const kind of ['kernel', 'timed'] as const)
  test(`${kind}: the named standby takes over; the report tells what happened`, async () => {
    const stage = new Stage(kind);
    const active = await stage.started();
    const [, target] = stage.standbys as [SimNode, SimNode];
    const startMs = stage.nowMs;
    const { result, error } = await stage.switchover(active, target.name, TIMEOUT_MS);
    assert.equal(error, undefined);
    assert.ok(result);
    const { pauseMs, totalMs, ...rest } = result;
    assert.deepEqual(rest, {
      ...{ from: active.name, to: target.name, fromTerm: 1, toTerm: target.elector.facts().term },
      ...{ recordsInFlight: 3, recordsLost: 0, clientsMoved: 5 },
    });
    assert.ok(pauseMs > 0 && pauseMs <= 200 + 60 + 60 && totalMs >= pauseMs && totalMs <= stage.nowMs - startMs + 1);
    assert.deepEqual(stage.active, [target]);
    assert.equal(active.duties.isWriting, false);
    await stage.run(3000);
    assert.deepEqual(stage.active, [target], 'it stays there');
    assert.ok(active.elector.facts().isReady, 'and could be taken back');
  });

test('asked of a standby, with no name: the one that has been ready longest takes over', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  const [restarted, longest] = stage.standbys as [SimNode, SimNode];
  stage.world.kill(restarted);
  stage.world.start(restarted);
  await stage.run(1000);
  const { result } = await stage.switchover(restarted, null, TIMEOUT_MS);
  assert.equal(result?.from, active.name);
  assert.equal(result?.to, longest.name);
});

test('refused, and nothing changes: no such node, the active itself, nobody ready, too early, another under way', async () => {
  const stage = new Stage('kernel', { timers: { minTenureMs: 1000 } });
  const active = await stage.started();
  const early = await stage.switchover(active, null, TIMEOUT_MS);
  assertRefused(early, /is active for less than 1000 ms/);
  const retryInMs = early.error?.data?.['retryInMs'] as number;
  await stage.run(retryInMs - 2);
  assertRefused(await stage.switchover(active, null, TIMEOUT_MS), /less than/);
  await stage.run(3);
  assertRefused(await stage.switchover(active, 'z', TIMEOUT_MS), /z cannot take over: no such node/);
  assertRefused(await stage.switchover(active, active.name, TIMEOUT_MS), /is active already/);
  for (const { elector } of stage.standbys) elector.setReadiness(false, 'out of order');
  await stage.run(10);
  assertRefused(await stage.switchover(active, null, TIMEOUT_MS), /no standby is ready/);
  assertRefused(await stage.switchover(active, 'c', TIMEOUT_MS), /c cannot take over: out of order|active already/);
  assert.equal(active.elector.facts().term, 1);
  for (const { elector } of stage.standbys) elector.setReadiness(true, 'warm');
  await stage.run(10);
  const first = stage.settled(active.elector.switchover(null, TIMEOUT_MS));
  assertRefused(await stage.switchover(active, null, TIMEOUT_MS), /already hands over/);
  await stage.until('the first one is done', () => first.result !== undefined, TIMEOUT_MS);
});

test('a target that does not answer: given up before anything has stopped', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  const target = stage.standbys[0] as SimNode;
  stage.world.stop(target, 'both');
  assertAborted(
    await stage.switchover(active, target.name, TIMEOUT_MS),
    /gone, gave no answer in time.*; . serves as before/,
  );
  assert.equal(active.elector.facts().term, 1);
  assert.ok(active.duties.isWriting && !active.duties.isQuiesced);
});

test('consumers that do not end: given up, and they go on', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  for (const faults of [
    { ...WELL, quiesceFails: 1 },
    { ...WELL, hangs: 1 },
  ]) {
    active.faults = faults;
    assertAborted(await stage.switchover(active, null, TIMEOUT_MS), /died|no answer from quiesce/);
    assert.equal(active.elector.facts().term, 1);
    assert.ok(active.duties.isWriting && !active.duties.isQuiesced);
  }
  active.faults = WELL;
  assert.ok((await stage.switchover(active, null, TIMEOUT_MS)).result);
});

test('consumers that cannot go on after one that was given up: the node starts anew', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const active = await stage.started();
  active.faults = { ...WELL, quiesceFails: 1, unquiesceFails: 1 };
  assertAborted(await stage.switchover(active, null, TIMEOUT_MS), /died/);
  await stage.until('somebody serves in full', () => stage.active.some(({ duties }) => !duties.isQuiesced), 1000);
  assert.ok((stage.active[0]?.elector.facts().term ?? 0) > 1);
});

test('a node that cannot stop in time is cut, and serves again itself under a new term', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  active.faults = { ...WELL, demoteFails: 1 };
  assertAborted(
    await stage.switchover(active, null, TIMEOUT_MS),
    /could not stop in time; . serves again under term 2/,
  );
  assert.deepEqual(stage.active, [active]);
  assert.ok(active.duties.isWriting && !active.duties.isQuiesced);
});

/** Lets the active hand over to the only other node, and does something to that as soon as the lease is released for it. */
async function withTarget(
  stage: Stage,
  harm: (target: SimNode) => void,
): Promise<[SimNode, Settled<SwitchoverReport>]> {
  const active = await stage.started();
  const target = stage.standbys[0] as SimNode;
  const settled = stage.settled(active.elector.switchover(target.name, TIMEOUT_MS));
  await stage.until('it stands down', () => active.elector.facts().role === 'standby', TIMEOUT_MS);
  harm(target);
  await stage.until('the switchover settles', () => settled.atMs !== undefined, 2 * TIMEOUT_MS);
  return [active, settled];
}

for (const kind of ['kernel', 'timed'] as const) {
  test(`${kind}: the target dies when the lease is released for it: the old active serves again`, async () => {
    const stage = new Stage(kind, { nodes: 2 });
    const startMs = stage.nowMs;
    const [active, settled] = await withTarget(stage, (target) => stage.world.kill(target));
    assertAborted(settled, /did not take over in time/);
    await stage.until('it serves again', () => stage.active.includes(active), 2000);
    assert.ok(active.elector.facts().term > 1);
    assert.ok((settled.atMs ?? 0) - startMs < 700 + 2 * TIMEOUT_MS);
  });

  test(`${kind}: the target cannot start: the old active serves again before the time is up`, async () => {
    const stage = new Stage(kind, { nodes: 2 });
    const [active, settled] = await withTarget(stage, (target) => {
      target.faults = { ...WELL, promoteFails: 1 };
    });
    assertAborted(settled, /did not take over in time; . serves again under term \d/);
    assert.deepEqual(stage.active, [active]);
  });
}

test('a target that is slow to start has the lease: given up in time, with the truth about who has it', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const [active, settled] = await withTarget(stage, (target) => stage.world.stop(target, 'workers'));
  assertAborted(settled, /\/1 has the lease under term 2 and does not serve yet/);
  assert.equal(active.elector.facts().role, 'standby');
});

test('the lease is lost in the middle: cut, and given up', async () => {
  const stage = new Stage('timed');
  const active = await stage.started();
  active.faults = { ...WELL, hangs: 1 };
  stage.world.timed?.trouble(active.name, {
    ...{ requestLoss: 1, answerLoss: 0, requestDelay: 0, answerDelay: 0, delayMsMax: 0 },
  });
  assertAborted(await stage.switchover(active, null, 4000), /no renewal was confirmed in time/);
  await stage.until('another serves', () => stage.active.length === 1 && !stage.active.includes(active), 3000);
});

test('no node is active: refused', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const active = await stage.started();
  const other = stage.standbys[0] as SimNode;
  stage.world.kill(active);
  await stage.until('the death is known', () => other.elector.status().peers.every(({ isLost }) => isLost), 50);
  assertRefused(await stage.switchover(other, null, 500), /no node is active now/);
});
