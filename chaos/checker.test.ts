/** The checker must see each kind of breach: a check that cannot fail proves nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRecords, type RecordEvidence } from './checker.ts';
import { HandledWatch } from './evidence/handled-watch.ts';
import { NumberList } from './evidence/number-list.ts';
import { PartitionWatch } from './evidence/partition-watch.ts';
import { SourceHistory } from './evidence/source-history.ts';
import { Values } from './evidence/values.ts';

interface Drill extends RecordEvidence {
  readonly sources: [SourceHistory, SourceHistory];
  readonly subscribers: [PartitionWatch];
  readonly partition: NumberList;
  code(value: string): number;
}

/** A drill in which all went well: a:1, a:2 acknowledged, b:1 uncertain and stored, b:2 uncertain and not. */
function goodDrill(mayRepeat = false): Drill {
  const values = new Values();
  const a = new SourceHistory({ name: 'a', hasSequence: true, mayRepeat }, values);
  a.ack(1, { partition: 0, offset: 0 }, 0);
  a.ack(2, { partition: 0, offset: 2 }, 0);
  const b = new SourceHistory({ name: 'b', hasSequence: false }, values);
  b.doubt(1);
  b.doubt(2);
  const stored = ['a:1', 'b:1', 'a:2'];
  const partition = NumberList.of(stored.map((value) => values.codeOf(value)));
  const watch = new PartitionWatch('s', values);
  const handled = new HandledWatch(values);
  stored.forEach((value, offset) => {
    watch.take({ partition: 0, offset, data: `${value}|pad` });
    handled.take({ partition: 0, offset, value, keeperPid: 1 });
    if (offset === 1) handled.take({ partition: 0, offset: 0, value: 'a:1', keeperPid: 1 });
  });
  const code = (value: string): number => values.codeOf(value);
  return { values, sources: [a, b], log: new Map([[0, partition]]), subscribers: [watch], handled, partition, code };
}

function breachesOf(spoil: (drill: Drill) => unknown): string {
  const drill = goodDrill();
  spoil(drill);
  return checkRecords(drill).breaches.join('\n');
}

test('finds nothing where nothing is wrong', () => {
  assert.equal(
    breachesOf(() => {}),
    '',
  );
  assert.equal(goodDrill().handled.deliveries, 4);
});

const breaches: readonly [string, RegExp, (drill: Drill) => unknown][] = [
  ['a lost record', /LOST: a:2 was acknowledged at 0:2, where nothing/, ({ partition }) => partition.pop()],
  [
    'an acknowledged record elsewhere',
    /LOST: a:2 was acknowledged at 0:2, where b:2/,
    ({ partition, code }) => partition.set(2, code('b:2')),
  ],
  [
    'a forgotten place that is not stored',
    /LOST: a:3 was acknowledged and is not stored/,
    ({ sources: [a] }) => a.ack(3, { partition: 0, offset: -1 }, 0),
  ],
  ['a record stored twice', /TWICE: a:2/, ({ partition, code }) => partition.push(code('a:2'))],
  [
    'disorder',
    /ORDER: b:1 at 0:3 stands after 2/,
    ({ partition, code }) => {
      partition.set(1, code('b:2'));
      partition.push(code('b:1'));
    },
  ],
  ['a foreign record', /FOREIGN: "x:1" at 0:3/, ({ partition, code }) => partition.push(code('x:1'))],
  ['a record that is none', /FOREIGN: "a"/, ({ partition, code }) => partition.push(code('a'))],
  ['a subscriber that missed the end', /MISSED: s saw 3 of 4/, ({ partition, code }) => partition.push(code('b:2'))],
  [
    'a subscriber that saw a repeat',
    /PUSH: s: partition 0: got offset 2 where 3 was due/,
    ({ subscribers: [watch] }) => watch.take({ partition: 0, offset: 2, data: 'a:2|' }),
  ],
  [
    'a subscriber that saw a gap',
    /got offset 5 where 3 was due/,
    ({ subscribers: [watch] }) => watch.take({ partition: 0, offset: 5, data: 'a:2|' }),
  ],
  [
    'a subscriber that saw other data',
    /MISSED: s saw b:2 at 0:1 instead of b:1/,
    ({ subscribers: [watch], code }) => watch.seen.get(0)?.set(1, code('b:2')),
  ],
  [
    'a subscriber that heard an older term after a newer one',
    /PUSH: s: got 0:4 under term 6 after term 7/,
    ({ subscribers: [watch] }) => {
      watch.take({ partition: 0, offset: 3, data: 'b:2|', term: 7 });
      watch.take({ partition: 0, offset: 4, data: 'b:2|', term: 6 });
    },
  ],
  [
    'a record that no handler got',
    /MISSED: the handler got 3 of 4/,
    ({ partition, code }) => partition.push(code('b:2')),
  ],
  [
    'handler deliveries out of order',
    /ORDER: the handler got 0:4 before 3/,
    ({ handled }) => handled.take({ partition: 0, offset: 4, value: 'b:2', keeperPid: 1 }),
  ],
  [
    'other data at the handler in a later delivery',
    /WRONG: the handler got b:2 as 0:1/,
    ({ handled }) => handled.take({ partition: 0, offset: 1, value: 'b:2', keeperPid: 1 }),
  ],
  [
    'other data at the handler than in the log',
    /WRONG: the handler got b:1 as 0:1, where b:2 stands/,
    ({ partition, code }) => partition.set(1, code('b:2')),
  ],
];
for (const [name, pattern, spoil] of breaches) test(`finds ${name}`, () => assert.match(breachesOf(spoil), pattern));

test('what a bad network may double is no breach, and is still not lost', () => {
  const drill = goodDrill(true);
  const again = drill.code('a:1');
  drill.partition.push(again);
  drill.subscribers[0].take({ partition: 0, offset: 3, data: 'a:1|' });
  drill.handled.take({ partition: 0, offset: 3, value: 'a:1', keeperPid: 1 });
  assert.deepEqual(checkRecords(drill), { breaches: [], lost: 0, duplicated: 0 });
});

test('a list of numbers grows, keeps what it has, and has holes', () => {
  const list = NumberList.of([7]);
  list.set(5000, 9);
  assert.deepEqual(
    [list.length, list.at(0), list.at(4999), list.at(5000), list.at(5001)],
    [5001, 7, Number.NaN, 9, Number.NaN],
  );
});
