/** Every breach of the rules on terms is found, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Activation,
  activationBreaches,
  handlerTurnBreaches,
  noteStatement,
  staleStatements,
  type TermSpan,
} from './terms.ts';

type Statement = readonly [term: number, askedMs: number, answeredMs: number];

function spansOf(speaker: string, statements: readonly Statement[]): TermSpan[] {
  const spans: TermSpan[] = [];
  for (const [term, askedMs, answeredMs] of statements) noteStatement(spans, speaker, { term, askedMs, answeredMs });
  return spans;
}

/** Under term 1 until 30, then under 2, then 5. */
const GOOD = [
  ...spansOf('lines', [
    [1, 0, 10],
    [1, 10, 20],
    [2, 40, 50],
    [5, 90, 95],
  ]),
  ...spansOf('node a', [
    [1, 5, 6],
    [1, 29, 30],
  ]),
  ...spansOf('node b', [
    [2, 44, 45],
    [2, 60, 61],
  ]),
];

test('statements in order are right, and so is a late answer to an early question', () => {
  assert.deepEqual(staleStatements(GOOD), []);
  assert.deepEqual(
    staleStatements([
      ...GOOD,
      ...spansOf('slow', [
        [1, 44, 500],
        [2, 94, 600],
      ]),
    ]),
    [],
  );
  assert.equal(GOOD.length, 5);
});

test('finds an acknowledgement under an older term after a newer one had acknowledged', () => {
  const late = spansOf('http', [[1, 52, 53]]);
  assert.deepEqual(staleStatements([...GOOD, ...late]), [
    'STALE: http was answered under term 1, asked 7 ms after node b had been under term 2',
  ]);
});

test('finds a node that still says that it is active', () => {
  const woken = spansOf('node a', [
    [1, 29, 30],
    [1, 200, 201],
  ]);
  assert.match(
    staleStatements([...GOOD, ...woken]).join(),
    /node a was answered under term 1, asked 155 ms after node b/,
  );
  assert.match(
    staleStatements([...GOOD, ...spansOf('node b', [[2, 96, 97]])]).join(),
    /under term 2, asked 1 ms after lines/,
  );
});

const active = (holder: string, term: number, answeredMs: number): Activation => {
  return { holder, term, askedMs: answeredMs - 1, answeredMs };
};

test('finds two actives under one term, and a term that falls', () => {
  const good = [active('a/1', 1, 10), active('b/2', 4, 20), active('b/2', 4, 25), active('a/3', 6, 30)];
  assert.deepEqual(activationBreaches(good), []);
  assert.deepEqual(activationBreaches([...good, active('c/4', 6, 40)]), [
    'DOUBLE: a/3 and c/4 were both active under term 6',
  ]);
  assert.deepEqual(activationBreaches([...good, active('c/4', 5, 40)]), [
    'TERM: c/4 became active under term 5 after a/3 under 6',
  ]);
});

test('finds handlers of a node that was not active any more', () => {
  const actives = ['a', 'b', 'c', 'a', 'b'];
  for (const turns of [[], ['a'], ['a', 'b', 'a'], ['b', 'a'], actives])
    assert.deepEqual(handlerTurnBreaches(turns, actives), []);
  assert.match(handlerTurnBreaches(['a', 'b', 'a', 'b', 'a'], actives).join(), /handlers of a worked in turn 5 of 5/);
  assert.match(handlerTurnBreaches(['c', 'b', 'c'], actives).join(), /handlers of c worked in turn 3/);
});
