import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WELL } from './simulation/sim-duties.fixture.ts';
import type { SimNode } from './simulation/world.fixture.ts';
import { Stage } from './stage.fixture.ts';

const TIMEOUT_MS = 1000;

test('of several that start one is active; the others know it and are ready', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  assert.equal(active.elector.grant?.term, active.elector.facts().term);
  assert.equal(active.elector.holdsUntilMs, Number.POSITIVE_INFINITY);
  for (const { elector } of stage.standbys) {
    const { role, phase, term, peers, transitions } = elector.status();
    assert.deepEqual([role, phase, term], ['standby', 'standby', 0]);
    assert.equal(elector.grant, undefined);
    assert.ok(peers.some(({ facts }) => facts.name === active.name && facts.role === 'active'));
    assert.ok(transitions.some(({ who, to }) => who === active.name && to === 'active'));
  }
  assert.match(
    stage.lines.join('\n'),
    /role_changed .*"from":"standby","to":"active","term":1,"why":"there was no act/,
  );
});

test('the active dies: another serves as soon as the kernel has released the lease', async () => {
  const stage = new Stage('kernel');
  for (let round = 0; round < 10; round++) {
    const active = round === 0 ? await stage.started() : (stage.active[0] as SimNode);
    stage.world.kill(active);
    const { tookMs } = await stage.successor(active, 500);
    assert.ok(tookMs < 15 + 60 + 15 + WELL.promoteMsMax, `news, release, next try, start: ${tookMs}`);
    stage.world.start(active);
    await stage.run(1500);
    assert.equal(active.elector.facts().role, 'standby', 'it joins, and takes nothing back');
  }
});

test('the active hangs: it is ended after the heartbeat time-out, and another serves', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  const { process } = active;
  stage.world.stop(active, 'both');
  const { tookMs } = await stage.successor(active, 2000);
  assert.ok(tookMs > TIMEOUT_MS && tookMs < TIMEOUT_MS + 200, `${tookMs}`);
  assert.equal(process.isAlive, false);
  assert.ok(stage.lines.some((line) => /peer_hung/.test(line)));
});

test('a hang shorter than the time-out changes nothing', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  for (let round = 0; round < 5; round++) {
    stage.world.stop(active, 'both');
    await stage.run(TIMEOUT_MS - 20);
    stage.world.goOn(active);
    await stage.run(100);
  }
  assert.deepEqual(stage.active, [active]);
  assert.equal(active.elector.facts().term, 1);
});

test('a standby that hangs is left alone, and a stall of its own proves nothing to a standby', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  for (const standby of stage.standbys) stage.world.stop(standby, 'both');
  await stage.run(5 * TIMEOUT_MS);
  for (const { process, name } of stage.world.nodes) assert.ok(process.isAlive, name);
  for (const standby of stage.standbys) stage.world.goOn(standby);
  await stage.run(3 * TIMEOUT_MS);
  assert.deepEqual(stage.active, [active]);
  assert.equal(active.incarnation, 1);
});

test('a hung holder that cannot be ended: the standbys say so and go on trying', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  stage.world.fenceFails = 1;
  stage.world.stop(active, 'both');
  await stage.run(4 * TIMEOUT_MS);
  for (const standby of stage.standbys.filter((node) => node !== active))
    assert.match(standby.elector.facts().reason, /holds the lease, is silent and could not be ended/);
  stage.world.fenceFails = 0;
  const { node } = await stage.successor(active, 10_000);
  await stage.run(1000);
  for (const { elector } of stage.standbys) assert.doesNotMatch(elector.facts().reason, /could not be ended/);
  assert.ok(node.process.isAlive);
});

test('one that hung before the others came is ended too, after a longer time', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const active = await stage.started();
  const other = stage.standbys[0] as SimNode;
  stage.world.kill(other);
  stage.world.stop(active, 'both');
  await stage.run(500);
  stage.world.start(other);
  const { tookMs } = await stage.successor(active, 5000);
  assert.ok(tookMs > 3 * TIMEOUT_MS && tookMs < 3 * TIMEOUT_MS + 600, `${tookMs}`);
});

test('a standby that hears nobody does not end one active after the other', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  const deaf = stage.standbys[0] as SimNode;
  for (const other of stage.world.nodes) if (other !== deaf) stage.world.cut(other, deaf, true);
  await stage.run(30_000);
  const ended = stage.lines.filter((line) => line.includes('peer_fenced')).length;
  assert.ok(ended >= 1 && ended <= 6, `${ended} in 30 s`);
  assert.ok(active.incarnation > 1);
});

test('a start that fails gives the lease to others, is visible, and is tried again with growing waits', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const active = await stage.started();
  const other = stage.standbys[0] as SimNode;
  other.faults = { ...WELL, promoteFails: 1 };
  stage.world.kill(active);
  await stage.run(6000);
  assert.match(other.elector.facts().reason, /could not start under term \d+/);
  const failures = stage.lines.filter((line) => line.includes('promote_failed'));
  assert.ok(failures.length >= 4 && failures.length <= 9, `${failures.length} tries in 6 s`);
  stage.world.start(active);
  await stage.until('the other one serves', () => stage.active.includes(active), 3000);
});

test('told that a write was refused, the active is cut and stands by', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  active.elector.fenced('a write was refused');
  assert.equal(active.elector.facts().role, 'standby');
  assert.equal(active.elector.facts().isReady, false);
  assert.equal(active.elector.grant, undefined);
  const { node } = await stage.successor(active, 1000);
  assert.ok(node.elector.facts().term > 1);
  assert.equal(active.duties.isWriting, false);
});

test('a planned end drains, then another serves at once, and it is no takeover that counts', async () => {
  const stage = new Stage('kernel', { timers: { takeoversMax: 1 } });
  for (let round = 0; round < 4; round++) {
    const active = round === 0 ? await stage.started() : (stage.active[0] as SimNode);
    void stage.world.end(active);
    await stage.successor(active, 600);
    await stage.run(2500);
    assert.equal(active.elector.facts().role, 'standby', 'it was started again');
  }
  for (const { elector } of stage.world.living) assert.equal(elector.status().antiFlap.takeoversInWindow, 0);
});

test('a planned end whose drain fails is finished by force', async () => {
  const stage = new Stage('kernel');
  const active = await stage.started();
  active.faults = { ...WELL, demoteFails: 1 };
  void stage.world.end(active);
  await stage.successor(active, 1000);
});

test('a node with time-outs and no way to the store stops before its lease ends; then another serves', async () => {
  const stage = new Stage('timed');
  const active = await stage.started();
  const { ttlMs, renewMs, marginMs } = stage.world.timers;
  stage.world.timed?.trouble(active.name, {
    requestLoss: 1,
    answerLoss: 0,
    requestDelay: 0,
    answerDelay: 0,
    delayMsMax: 0,
  });
  const startMs = stage.nowMs;
  await stage.until('it stands by', () => active.elector.facts().role === 'standby', ttlMs);
  const heldMs = stage.nowMs - startMs;
  assert.ok(heldMs > ttlMs - marginMs - renewMs - 50 && heldMs < ttlMs - marginMs + 20, `${heldMs}`);
  await stage.until('nothing of it writes', () => !active.duties.isWriting, marginMs);
  const { tookMs } = await stage.successor(active, ttlMs);
  assert.ok(heldMs + tookMs < ttlMs + 250 + 200, `${heldMs + tookMs}`);
});

test('with time-outs a broken link or silence makes nobody active', async () => {
  const stage = new Stage('timed');
  const active = await stage.started();
  for (const other of stage.standbys) stage.world.cut(active, other, true);
  await stage.run(5000);
  assert.deepEqual(stage.active, [active]);
});

test('an active that hears of a newer term stops at once', async () => {
  const stage = new Stage('kernel', { nodes: 2 });
  const active = await stage.started();
  const other = stage.standbys[0] as SimNode;
  // As if the lease had been lost and nobody had noticed.
  const facts = { ...other.elector.facts(), serial: 1000, role: 'active' as const, term: 99 };
  stage.world.network.say(other.process, facts);
  await stage.until('it is cut', () => active.elector.facts().role === 'standby', 50);
  const why = /lease lost: . is active under the newer term 99/;
  await stage.until('the cut is over', () => stage.lines.some((line) => why.test(line)), 200);
  assert.equal(active.duties.isWriting, false);
});

test('told that a write was refused while it gives up a start that failed: the next start is not taken for lost', async () => {
  const stage = new Stage('timed', { nodes: 1 });
  const active = await stage.started();
  active.elector.fenced('a write was refused');
  active.faults = { ...WELL, promoteFails: 1 };
  const hasFailed = (): boolean => stage.lines.some((line) => line.includes('promote_failed'));
  while (!hasFailed()) await stage.world.scheduler.runUntil(hasFailed);
  active.elector.fenced('a write was refused');
  active.faults = WELL;
  await stage.until('it serves', () => stage.active.length === 1, 3000);
  assert.equal(active.duties.term, active.elector.facts().term);
  await stage.run(2000);
  assert.deepEqual(stage.active, [active]);
});
