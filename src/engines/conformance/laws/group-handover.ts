/**
 * Law: group handover.
 * - While members live, every partition MUST belong to exactly one of them, under a term above 0; never to two.
 * - When a member dies and is replaced, its partitions MUST be worked on again, under higher terms; commits under the dead member's terms
 *   MUST be refused with TANDEM_TERM_FENCED.
 * - A committed offset MUST be seen by every process and survive a reopen, and the death of every process if the engine is durable; it MAY
 *   go back; partitions never committed MUST be absent.
 * - Groups MUST NOT influence each other.
 */
import assert from 'node:assert/strict';
import type { Assignment, CommittedOffset, Engine, Membership } from '../../../core/contracts/engine.ts';
import { ensureTopic, type Law, type LawContext, TOPIC, until } from '../law.ts';

export const groupHandover: Law = {
  name: 'group-handover',
  cases: [
    { name: 'a lone member has all partitions', run: loneMember },
    { name: 'two members share the partitions', members: 2, needs: { isShared: 'two processes' }, run: twoMembers },
    { name: 'a member that leaves and comes back works again', run: leaveAndJoin },
    { name: 'new partitions are assigned', run: grownTopic },
    {
      name: 'a dead member is followed under higher terms and fenced',
      members: 2,
      mayDie: true,
      needs: { isShared: 'two processes' },
      run: deadMember,
    },
    { name: 'commits are kept, per group, forward and back', run: commits },
    { name: 'commits are kept over a reopen', needs: { reopens: 'nothing outlives a close' }, run: commitsReopened },
    {
      name: 'commits survive kill -9',
      mayDie: true,
      needs: { isDurable: 'data dies with the process' },
      run: commitsKilled,
    },
  ],
};

const PARTITIONS = 4;
const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
const partitionsOf = (assignments: readonly Assignment[]): number[] =>
  assignments.map(({ partition }) => partition).sort((a, b) => a - b);
const join = (engine: Engine, group = 'g'): Promise<Membership> => engine.groups.join(group, TOPIC, () => {});

/** All of `partitions` are with exactly one of the members. */
function areShared(members: readonly Membership[], partitions: readonly number[] = all): boolean {
  const owned = members.flatMap(({ assignments }) => partitionsOf(assignments)).sort((a, b) => a - b);
  assert.equal(new Set(owned).size, owned.length, `a partition with two owners: ${owned}`);
  return owned.length === partitions.length;
}

async function loneMember({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, PARTITIONS);
  const member = await join(engine);
  await until('all partitions are assigned', () => member.assignments.length === PARTITIONS);
  assert.deepEqual(partitionsOf(member.assignments), all);
  for (const { term } of member.assignments) assert.ok(term > 0);
}

async function twoMembers({ engines }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, PARTITIONS);
  const members = [await join(a)];
  members.push(await join(b));
  const haveWork = (): boolean => members.every(({ assignments }) => assignments.length > 0);
  await until('the partitions are shared, and both have work', () => areShared(members) && haveWork());
}

async function leaveAndJoin({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, PARTITIONS);
  const first = await join(engine);
  await until('all partitions are assigned', () => first.assignments.length === PARTITIONS);
  await first.leave();
  await first.leave();
  assert.deepEqual(first.assignments, []);
  const second = await join(engine);
  await until('all partitions are assigned again', () => second.assignments.length === PARTITIONS);
  for (const { partition, term } of second.assignments)
    await engine.groups.commit('g', TOPIC, { partition, offset: 1, epoch: 'e' }, term);
}

async function grownTopic({ engine }: LawContext): Promise<void> {
  await ensureTopic(engine, 1);
  const told: number[] = [];
  const member = await engine.groups.join('g', TOPIC, (assignments) => void told.push(assignments.length));
  await ensureTopic(engine, 3);
  await until('the new partitions are assigned', () => member.assignments.length === 3);
  await until('the member was told', () => told.at(-1) === 3);
}

async function deadMember({ engines, kill, replace }: LawContext): Promise<void> {
  const [a, b] = engines as [Engine, Engine];
  await ensureTopic(a, PARTITIONS);
  await b.topics.find(TOPIC);
  const survivor = await join(a);
  const dead = await join(b);
  await until('the partitions are shared', () => areShared([survivor, dead]) && dead.assignments.length > 0);
  const lost = [...dead.assignments];
  for (const { partition, term } of lost) await b.groups.commit('g', TOPIC, { partition, offset: 7, epoch: 'e' }, term);
  await kill(1);
  const successor = await join(await replace(1));
  await until('all partitions are worked on again', () => areShared([survivor, successor]));
  const now = [...survivor.assignments, ...successor.assignments];
  for (const { partition, term } of lost) {
    const current = now.find((assignment) => assignment.partition === partition) as Assignment;
    assert.ok(current.term > term, `term ${current.term} of partition ${partition} after ${term}`);
    const late = a.groups.commit('g', TOPIC, { partition, offset: 99, epoch: 'e' }, term);
    await assert.rejects(late, { code: 'TANDEM_TERM_FENCED' });
    await a.groups.commit('g', TOPIC, { partition, offset: 8, epoch: 'e' }, current.term);
  }
  const offsets = (await a.groups.committed('g', TOPIC)).map(({ offset }) => offset);
  assert.deepEqual(
    offsets,
    lost.map(() => 8),
  );
}

const sorted = (offsets: readonly CommittedOffset[]): CommittedOffset[] =>
  offsets.map((offset) => ({ ...offset })).sort((a, b) => a.partition - b.partition);

async function commitSome(engine: Engine): Promise<void> {
  await ensureTopic(engine, PARTITIONS);
  const member = await join(engine);
  await until('all partitions are assigned', () => member.assignments.length === PARTITIONS);
  for (const { partition, term } of member.assignments)
    if (partition !== 2)
      await engine.groups.commit('g', TOPIC, { partition, offset: 10 + partition, epoch: 'e' }, term);
}

const COMMITTED: readonly CommittedOffset[] = [0, 1, 3].map((partition) => ({
  partition,
  offset: 10 + partition,
  epoch: 'e',
}));

async function commits({ engine }: LawContext): Promise<void> {
  await commitSome(engine);
  assert.deepEqual(sorted(await engine.groups.committed('g', TOPIC)), COMMITTED);
  assert.deepEqual(await engine.groups.committed('other', TOPIC), []);
  const other = await join(engine, 'other');
  await until('the other group has its partitions', () => other.assignments.length === PARTITIONS);
  const { partition, term } = other.assignments[0] as Assignment;
  for (const offset of [5, 9, 3]) await engine.groups.commit('other', TOPIC, { partition, offset, epoch: 'f' }, term);
  assert.deepEqual(sorted(await engine.groups.committed('other', TOPIC)), [{ partition, offset: 3, epoch: 'f' }]);
  assert.deepEqual(sorted(await engine.groups.committed('g', TOPIC)), COMMITTED);
}

async function commitsReopened({ engine, reopen }: LawContext): Promise<void> {
  await commitSome(engine);
  const again = await reopen();
  assert.deepEqual(sorted(await again.groups.committed('g', TOPIC)), COMMITTED);
}

async function commitsKilled({ engine, kill, replace }: LawContext): Promise<void> {
  await commitSome(engine);
  await kill(0);
  const again = await replace(0);
  assert.deepEqual(sorted(await again.groups.committed('g', TOPIC)), COMMITTED);
}
