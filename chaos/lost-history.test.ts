/** The checker where the store may lose what it had: what may happen then is no breach, everything else still is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRecords, type RecordEvidence } from './checker.ts';
import { HandledWatch } from './evidence/handled-watch.ts';
import { NumberList } from './evidence/number-list.ts';
import { PartitionWatch } from './evidence/partition-watch.ts';
import { SourceHistory } from './evidence/source-history.ts';
import { Values } from './evidence/values.ts';

interface Drill extends RecordEvidence {
  readonly source: SourceHistory;
  readonly watch: PartitionWatch;
  readonly partition: NumberList;
  code(value: string): number;
}

const FORGOTTEN = { partition: -1, offset: -1 };

/**
 * The source sent 1 and 2 to one node, 3 and 4 to another. The store had 1, 2, 3; lost 2 and 3; got 3, 4 from the second node, then 2 from the first.
 * The subscriber and the handler saw the first history up to 3, then were told.
 */
function goodDrill(): Drill {
  const values = new Values();
  const source = new SourceHistory({ name: 'a', hasSequence: true }, values);
  for (const sequence of [1, 2]) source.ack(sequence, FORGOTTEN, 0, { node: 0 });
  source.leaveNode(2);
  for (const sequence of [3, 4]) source.ack(sequence, FORGOTTEN, 0, { node: 1 });
  const stored = ['a:1', 'a:3', 'a:4', 'a:2'];
  const watch = new PartitionWatch('s', values, { mayBeTold: true });
  const handled = new HandledWatch(values, { mayLoseHistory: true });
  const deliver = (texts: readonly string[], first: number): void =>
    texts.forEach((value, i) => {
      watch.take({ partition: 0, offset: first + i, data: `${value}|` });
      handled.take({ partition: 0, offset: first + i, value, keeperPid: 1 });
    });
  deliver(['a:1', 'a:2', 'a:3'], 0);
  watch.tellGap('told');
  deliver(stored.slice(1), 1);
  const partition = NumberList.of(stored.map((value) => values.codeOf(value)));
  const evidence = { values, sources: [source], log: new Map([[0, partition]]), subscribers: [watch], handled };
  const code = (value: string): number => values.codeOf(value);
  return { ...evidence, mayLoseHistory: true, source, watch, partition, code };
}

function breachesOf(spoil: (drill: Drill) => unknown): string {
  const drill = goodDrill();
  spoil(drill);
  return checkRecords(drill).breaches.join('\n');
}

test('finds nothing where readers were told, and a producer that changed nodes was overtaken by itself', () => {
  assert.equal(
    breachesOf(() => {}),
    '',
  );
});

test('a reader that begins again after it was told has what it saw again, and may have been told of a hole', () => {
  const drill = goodDrill();
  drill.watch.tellGap('told');
  assert.equal(drill.watch.count, 4);
  drill.watch.take({ partition: 0, offset: 2, data: 'a:4|' });
  drill.watch.take({ partition: 0, offset: 3, data: 'a:2|' });
  assert.deepEqual(checkRecords(drill).breaches, []);
  const late = goodDrill();
  late.watch.seen.get(0)?.truncate(1);
  late.watch.tellGap('told');
  late.watch.take({ partition: 0, offset: 3, data: 'a:2|' });
  assert.deepEqual(checkRecords(late).breaches, []);
});

const breaches: readonly [string, RegExp, (drill: Drill) => unknown][] = [
  [
    'a subscriber that kept a history that is gone',
    /MISSED: s saw a:3 at 0:1 instead of a:2/,
    ({ partition, code }) => {
      partition.set(1, code('a:2'));
      partition.set(3, code('a:3'));
    },
  ],
  [
    'a subscriber that was told nothing of a step back',
    /PUSH: s: partition 0: got offset 1 where 4 was due/,
    ({ watch }) => watch.take({ partition: 0, offset: 1, data: 'a:3|' }),
  ],
  [
    'disorder of what went through one node',
    /ORDER: a:1 at 0:3 stands after 2/,
    ({ partition, code }) => {
      partition.set(0, code('a:2'));
      partition.set(3, code('a:1'));
    },
  ],
  ['a record stored twice', /TWICE: a:4 is stored again at 0:4/, ({ partition, code }) => partition.push(code('a:4'))],
  [
    'a record that was never stored again',
    /LOST: a:5 was acknowledged and is not stored/,
    ({ source }) => source.ack(5, FORGOTTEN, 0, { node: 1 }),
  ],
  [
    'a record that no handler ever got',
    /MISSED: the handler never got 1 of 5 of partition 0, at 4 first: a:5/,
    ({ partition, code }) => partition.push(code('a:5')),
  ],
];
for (const [name, pattern, spoil] of breaches) test(`finds ${name}`, () => assert.match(breachesOf(spoil), pattern));

test('what was sent to two nodes has no place in the order of either', () => {
  const drill = goodDrill();
  const { source, partition, code } = drill;
  source.leaveNode(5);
  source.ack(5, FORGOTTEN, 0, { node: 0 });
  assert.deepEqual([source.nodeOf(2), source.nodeOf(4), source.nodeOf(5)], [0, 1, undefined]);
  partition.set(3, code('a:5'));
  partition.push(code('a:2'));
  assert.doesNotMatch(checkRecords(drill).breaches.join('\n'), /ORDER/);
});
