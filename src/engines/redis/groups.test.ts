import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Assignment, Membership } from '../../core/contracts/engine.ts';
import { silentLogger } from '../../core/contracts/telemetry.ts';
import { ManualClock } from '../../core/ports/manual-clock.ts';
import { systemRandom } from '../../core/ports/random.ts';
import { type CatalogShard, NOW_KEY, startCatalogServer } from './catalog.fixture.ts';
import { RedisGroups } from './groups.ts';
import { SeenTerms } from './seen-terms.ts';

const SESSION_MS = 4000;
const fenced = { code: 'TANDEM_TERM_FENCED' };
const TOPIC = 't';

interface Node {
  readonly shard: CatalogShard;
  readonly groups: RedisGroups;
  ownTerm: number;
}

/** Nodes and the server live by one clock. */
async function start(t: Parameters<typeof startCatalogServer>[0], partitions = 6) {
  const server = await startCatalogServer(t, true);
  const clock = new ManualClock();
  await server.client.set(NOW_KEY, String(clock.nowMs()));
  await server.makeTopic(TOPIC, partitions);
  const node = (memberName?: string): Node => {
    const shard = server.open();
    const made: Node = { shard, ownTerm: 0, groups: undefined as unknown as RedisGroups };
    const options = { catalog: shard, clock, random: systemRandom, logger: silentLogger, seenTerms: new SeenTerms() };
    const name = memberName === undefined ? {} : { memberName };
    const groups = new RedisGroups({ ...options, ...name, sessionMs: SESSION_MS, ownTerm: () => made.ownTerm });
    return Object.assign(made, { groups });
  };
  const pass = async (durationMs: number): Promise<void> => {
    for (let passed = 0; passed < durationMs; passed += 100) {
      await clock.advance(Math.min(100, durationMs - passed));
      await server.client.set(NOW_KEY, String(clock.nowMs()));
      await server.idle();
    }
  };
  return { server, node, pass };
}

const join = (
  node: Node,
  told: (assignments: readonly Assignment[]) => void | Promise<void> = () => {},
): Promise<Membership> => node.groups.join('g', TOPIC, told);
const partitionsOf = ({ assignments }: Membership): number[] => assignments.map(({ partition }) => partition);
const termOf = ({ assignments }: Membership, partition: number): number =>
  assignments.find((assignment) => assignment.partition === partition)?.term ?? Number.NaN;
const commit = (node: Node, partition: number, term: number): Promise<void> =>
  node.groups.commit('g', TOPIC, { partition, offset: 1, epoch: 'e.1' }, term);
const counts = (members: readonly Membership[]): number[] => members.map(({ assignments }) => assignments.length);

test('no more partitions move than have to, to whoever joins and from whoever leaves', async (t) => {
  for (const partitions of [1, 5, 12]) {
    const { node, pass } = await start(t, partitions);
    const members: Membership[] = [];
    let owners = new Map<number, Membership>();
    const look = (): number => {
      const now = new Map(
        members.flatMap((member) => partitionsOf(member).map((partition) => [partition, member] as const)),
      );
      const moved = [...now].filter(([partition, member]) => owners.get(partition) !== member).length;
      owners = now;
      assert.equal(now.size, partitions);
      const loads = counts(members);
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `${loads}`);
      return moved;
    };
    for (let i = 0; i < 5; i++) {
      members.push(await join(node()));
      await pass(300);
      assert.equal(look(), i === 0 ? partitions : Math.floor(partitions / (i + 1)));
    }
    while (members.length > 1) {
      const leaver = members.splice(members.length >> 1, 1)[0] as Membership;
      const had = leaver.assignments.length;
      await leaver.leave();
      await pass(300);
      assert.equal(look(), had);
    }
  }
});

test('a partition moves when its member has stopped, and its commit before that is taken', async (t) => {
  const { node, pass } = await start(t, 2);
  const a = node();
  const b = node();
  const stopped = Promise.withResolvers<void>();
  const first = await join(a, () => stopped.promise);
  const terms = [0, 1].map((partition) => termOf(first, partition));
  const second = await join(b);
  await pass(1000);
  assert.deepEqual([partitionsOf(first), partitionsOf(second)], [[0], []]);
  await commit(a, 1, terms[1] as number);
  stopped.resolve();
  await pass(100);
  assert.deepEqual([partitionsOf(first), partitionsOf(second)], [[0], [1]]);
  assert.ok(termOf(second, 1) > (terms[1] as number));
  await assert.rejects(commit(a, 1, terms[1] as number), fenced);
  await commit(b, 1, termOf(second, 1));
});

test('a member that does not stop loses the partition after a session', async (t) => {
  const { node, pass } = await start(t, 2);
  const first = await join(node(), () => new Promise<void>(() => {}));
  const second = await join(node());
  await pass(SESSION_MS + 500);
  assert.deepEqual([partitionsOf(first), partitionsOf(second)], [[0], [1]]);
});

test('a member that cannot reach the server has nothing before others have it', async (t) => {
  const { node, pass } = await start(t);
  const a = node();
  const told: number[] = [];
  const lost = await join(a, (assignments) => void told.push(assignments.length));
  const other = await join(node());
  await pass(500);
  assert.deepEqual(counts([lost, other]), [3, 3]);
  const before = termOf(lost, 0);
  a.shard.fault = 'requests';
  let sum = 6;
  for (let waitedMs = 0; waitedMs < SESSION_MS + 1500; waitedMs += 100) {
    await pass(100);
    assert.ok(lost.assignments.length + other.assignments.length <= 6);
    sum = Math.min(sum, lost.assignments.length + other.assignments.length);
  }
  assert.equal(sum, 3, 'nobody had them in between');
  assert.deepEqual(counts([lost, other]), [0, 6]);
  assert.equal(told.at(-1), 0);
  await assert.rejects(commit(node(), 0, before), fenced);
  a.shard.fault = 'none';
  await pass(2500);
  assert.deepEqual(counts([lost, other]), [3, 3]);
});

test('an answer that comes late gives nothing that others may have', async (t) => {
  const { node, pass } = await start(t);
  const a = node();
  const told: number[] = [];
  const late = await join(a, (assignments) => void told.push(assignments.length));
  a.shard.fault = 'late';
  const other = await join(node());
  await pass(SESSION_MS + 2000);
  assert.deepEqual(counts([late, other]), [0, 6]);
  told.length = 0;
  a.shard.fault = 'none';
  await pass(3000);
  assert.deepEqual(counts([late, other]), [3, 3]);
  assert.deepEqual(told, [3]);
});

test('a process of the same name follows at once, and fences', async (t) => {
  const { node, pass } = await start(t);
  const a = node('n1/0');
  const dead = await join(a);
  const other = await join(node('n1/1'));
  await pass(500);
  a.shard.fault = 'requests';
  const lost = [...dead.assignments];
  const successor = await join(node('n1/0'));
  assert.deepEqual(
    partitionsOf(successor),
    lost.map(({ partition }) => partition),
  );
  assert.equal(other.assignments.length, 3);
  a.shard.fault = 'none';
  for (const { partition, term } of lost) await assert.rejects(commit(a, partition, term), fenced);
  await pass(SESSION_MS);
  assert.deepEqual(
    counts([dead, other, successor]),
    [0, 3, 3],
    'the dead one does not come back while its successor lives',
  );
  await successor.leave();
  await pass(SESSION_MS);
  assert.deepEqual(counts([dead, other]), [3, 3]);
});

test('a claim of the store ends the memberships of those that have not claimed, and gives the others new terms', async (t) => {
  const { server, node, pass } = await start(t);
  const [a, b] = [node(), node()];
  const [older, newer] = [await join(a), await join(b)];
  await pass(500);
  const lost = [...older.assignments];
  const kept = [...newer.assignments];
  await server.open().call('claim', ['{test}:term'], ['1000000']);
  b.ownTerm = 1_000_000;
  b.groups.termChanged();
  await pass(300);
  assert.equal(newer.assignments.length, 6);
  assert.ok(newer.assignments.every(({ term }) => term > 1_000_000));
  for (const { partition, term } of lost) await assert.rejects(commit(a, partition, term), fenced);
  for (const { partition, term } of kept) await assert.rejects(commit(b, partition, term), fenced);
  for (const { partition, term } of newer.assignments) await commit(b, partition, term);
  await pass(1500);
  assert.deepEqual(partitionsOf(older), []);
  await assert.rejects(join(a), fenced);
  a.ownTerm = 1_000_000;
  a.groups.termChanged();
  await pass(500);
  assert.deepEqual(counts([older, newer]), [3, 3]);
});

test('a fenced commit under an assignment of ours brings a term that goes', async (t) => {
  const { server, node, pass } = await start(t, 2);
  const a = node();
  const member = await join(a);
  const before = termOf(member, 1);
  await server.open().call('note_claim', ['{test}:claims', '{test}:term'], ['1000', '1000', `${TOPIC}/1`]);
  await assert.rejects(commit(a, 1, before), fenced);
  await pass(100);
  assert.ok(termOf(member, 1) > 1000);
  await commit(a, 1, termOf(member, 1));
  assert.equal(termOf(member, 0), before);
});

test('a commit under a term that this server did not give is refused: it is of one that has been taken for the master meanwhile', async (t) => {
  const { node, pass } = await start(t, 2);
  const [a, b] = [node(), node()];
  const member = await join(a);
  await pass(300);
  await assert.rejects(commit(b, 0, termOf(member, 0) + 1), fenced);
  await commit(a, 0, termOf(member, 0));
  await member.leave();
  await commit(b, 0, 2 ** 40);
});

test('a commit that comes after a later one of its member changes nothing; one that is meant to go back does', async (t) => {
  const { node, pass } = await start(t, 1);
  const a = node();
  const term = termOf(await join(a), 0);
  await pass(300);
  const keys = ['group:t:g', 'commits:t:g', 'claims'].map((name) => a.shard.key(name));
  const late = (number: string) => a.shard.call('commit', keys, [String(term), TOPIC, '0', '1', 'e.1', number]);
  const offset = async () => (await a.groups.committed('g', TOPIC))[0]?.offset;
  for (const next of [3, 9]) await a.groups.commit('g', TOPIC, { partition: 0, offset: next, epoch: 'e.1' }, term);
  await late('1');
  assert.equal(await offset(), 9);
  await a.groups.commit('g', TOPIC, { partition: 0, offset: 2, epoch: 'e.1' }, term);
  assert.equal(await offset(), 2);
});

test('after a failover that lost nothing members go on under their terms', async (t) => {
  const { server, node, pass } = await start(t);
  const changes: string[] = [];
  const members = [await join(node(), () => void changes.push('a')), await join(node(), () => void changes.push('b'))];
  await pass(500);
  const before = members.map(({ assignments }) => [...assignments]);
  changes.length = 0;
  await server.failover(await server.snapshot());
  await pass(2 * SESSION_MS);
  assert.deepEqual(
    members.map(({ assignments }) => assignments),
    before,
  );
  assert.deepEqual(changes, []);
});

test('after a failover that lost the last moves nobody has what another has', async (t) => {
  const { server, node, pass } = await start(t);
  const first = await join(node());
  const before = await server.snapshot();
  const second = await join(node());
  await pass(500);
  assert.deepEqual(counts([first, second]), [3, 3]);
  const kept = [...second.assignments];
  await server.failover(before);
  for (let waitedMs = 0; waitedMs < SESSION_MS; waitedMs += 100) {
    await pass(100);
    const all = [...partitionsOf(first), ...partitionsOf(second)];
    assert.equal(new Set(all).size, all.length);
  }
  assert.deepEqual(second.assignments, kept, 'confirmed under their terms');
  assert.deepEqual(counts([first, second]), [3, 3]);
});

test('after a restart without data members join again, under terms above those that they had', async (t) => {
  const { server, node, pass } = await start(t);
  const [a, b] = [node(), node()];
  const members = [await join(a), await join(b)];
  await pass(500);
  const highest = Math.max(...members.flatMap(({ assignments }) => assignments.map(({ term }) => term)));
  await server.failover(undefined);
  await pass(2 * SESSION_MS);
  assert.deepEqual(counts(members), [0, 0], 'the topic is gone');
  await server.makeTopic(TOPIC, 6);
  await pass(SESSION_MS);
  assert.deepEqual(counts(members), [3, 3]);
  for (const { assignments } of members) for (const { term } of assignments) assert.ok(term > highest);
});

test('committed offsets are as they were committed, whatever the epoch', async (t) => {
  const { node } = await start(t, 2);
  const { groups } = node();
  assert.deepEqual(await groups.committed('g', TOPIC), []);
  await groups.commit('g', TOPIC, { partition: 1, offset: Number.MAX_SAFE_INTEGER, epoch: 'a1b2-7.3-ff' }, 1);
  await groups.commit('g', TOPIC, { partition: 0, offset: 0, epoch: 'x' }, 1);
  assert.deepEqual(await groups.committed('g', TOPIC), [
    { partition: 0, offset: 0, epoch: 'x' },
    { partition: 1, offset: Number.MAX_SAFE_INTEGER, epoch: 'a1b2-7.3-ff' },
  ]);
  assert.deepEqual(await groups.committed('g:h', TOPIC), []);
});
