/** The checker must see each kind of breach: a check that cannot fail proves nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, type Evidence } from './checker.ts';
import { sourceHistory } from './history.ts';
import { PartitionWatch } from './readers/partition-watch.ts';

/** A drill in which all went well: a:1, a:2 acknowledged, b:1 uncertain and stored. */
function goodDrill() {
  const a = sourceHistory('a', true);
  a.acked.set('a:1', { partition: 0, offset: 0 }).set('a:2', { partition: 0, offset: 2 });
  const b = sourceHistory('b', false);
  b.uncertain.add('b:1').add('b:2');
  const log = new Map([[0, ['a:1', 'b:1', 'a:2']]]);
  const watch = new PartitionWatch('s');
  const handled: { partition: number; offset: number; value: string }[] = [];
  log.get(0)?.forEach((value, offset) => {
    watch.take({ partition: 0, offset, data: `${value}|pad` });
    handled.push({ partition: 0, offset, value });
  });
  handled.splice(1, 0, { partition: 0, offset: 0, value: 'a:1' });
  return { sources: [a, b], log, subscribers: [{ name: 's', watch }], handled } satisfies Evidence;
}

function breachesOf(spoil: (drill: ReturnType<typeof goodDrill>) => void): string {
  const drill = goodDrill();
  spoil(drill);
  return check(drill).join('\n');
}

test('finds nothing where nothing is wrong', () => {
  assert.equal(
    breachesOf(() => {}),
    '',
  );
});

const breaches: readonly [string, RegExp, (drill: ReturnType<typeof goodDrill>) => void][] = [
  ['a lost record', /LOST: a:2/, ({ log }) => log.get(0)?.pop()],
  ['an acknowledged record elsewhere', /LOST: a:2 was acknowledged at 0:2/, ({ log }) => log.get(0)?.splice(1, 1)],
  [
    'a forgotten place that is not stored',
    /LOST: a:9/,
    ({ sources }) => sources[0]?.acked.set('a:9', { partition: 0, offset: -1 }),
  ],
  ['a record stored twice', /TWICE: a:2/, ({ log }) => log.get(0)?.push('a:2')],
  ['disorder', /ORDER: b:1 at 0:3/, ({ log }) => log.set(0, ['a:1', 'b:2', 'a:2', 'b:1'])],
  ['a foreign record', /FOREIGN: "x:1"/, ({ log }) => log.get(0)?.push('x:1')],
  ['a subscriber that missed the end', /MISSED: s saw 3 of 4/, ({ log }) => log.get(0)?.push('b:2')],
  [
    'a subscriber that saw a repeat',
    /got offset 2 where 3 was due/,
    ({ subscribers }) => subscribers[0]?.watch.take({ partition: 0, offset: 2 }),
  ],
  [
    'a subscriber that saw other data',
    /MISSED: s saw zz/,
    ({ subscribers }) => subscribers[0]?.watch.seen.get(0)?.splice(1, 1, 'zz'),
  ],
  ['a record that no handler got', /MISSED: the handler got 2 of 3/, ({ handled }) => handled.pop()],
  [
    'handler deliveries out of order',
    /ORDER: the handler got 0:2 before 1/,
    ({ handled }) => handled.reverse().sort((x, y) => (x.offset === 1 ? 1 : y.offset === 1 ? -1 : x.offset - y.offset)),
  ],
  [
    'wrong data at the handler',
    /WRONG: the handler got zz/,
    ({ handled }) => handled.push({ partition: 0, offset: 1, value: 'zz' }),
  ],
];
for (const [name, pattern, spoil] of breaches) {
  test(`finds ${name}`, () => assert.match(breachesOf(spoil), pattern));
}
