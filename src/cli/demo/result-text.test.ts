import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DemoResult } from './demo-run.ts';
import { resultText } from './result-text.ts';

const DELIVERED = { records: 1200, missed: 0, duplicated: 0, outOfOrder: 0, gaps: 0 };

const PROVEN: DemoResult = {
  ...{ isProven: true, acked: 1200, stored: 1200, lost: 0, duplicated: 0, outOfOrder: 0, foreign: 0, phantom: 0 },
  ...{ unanswered: 0, doubleActive: 0, terms: { count: 3, first: 2, last: 9 }, breaches: [] },
  delivered: [
    { subscriber: 'subscriber-1', ...DELIVERED },
    { subscriber: 'subscriber-2', ...DELIVERED },
  ],
  takeovers: {
    kill: { count: 1, takeoverMs: { median: 31, worst: 31 }, pauseMs: { median: 30, worst: 30 } },
    hang: { count: 2, takeoverMs: { median: 1085.5, worst: 1102 }, pauseMs: { median: 1086, worst: 1103 } },
  },
  faults: [],
  notices: [],
  ...{ seed: 42, nodes: 3, recordsPerSecond: 2000, elapsedMs: 61_000, folder: null },
};

const text = (result: DemoResult): string => resultText(result, (_style, words) => words);

test('a run without harm', () => {
  assert.equal(
    text(PROVEN),
    `\
Tandem demo  3 nodes, 0 faults in 01:01, seed 42

  acked                 1,200   records that a producer was told are stored
  stored                1,200   read back after the last fault
  subscriber-1          1,200   delivered, from the start on, over all faults
  subscriber-2          1,200   delivered, from the start on, over all faults

  lost                      0   acked and not stored
  duplicated                0   stored twice
  out of order              0   stored after a later one of the same producer
  missed                    0   stored and not delivered to a subscriber
  repeated                  0   delivered twice, or out of order
  double-active             0   3 terms, from 2 to 9, each above the one before

  takeovers         n       first ack after     nothing acked for
                          median      worst     median      worst
  kill              1      31 ms      31 ms      30 ms      30 ms
  hang              2   1,086 ms   1,102 ms   1,086 ms   1,103 ms
  without the protection against flapping (cluster.takeoversMax, minTenureMs)

  Acked means kept: proven.`,
  );
});

test('what went wrong is named, and where to look', () => {
  const breaches = Array.from({ length: 20 }, (_, i) => `breach ${i + 1}`);
  const said = text({
    ...PROVEN,
    isProven: false,
    lost: 3,
    phantom: 1,
    breaches,
    folder: 'place',
    notices: ['node a was ended'],
  });
  assert.match(said, /lost +3 +acked and not stored/);
  assert.match(said, /^ {2}node a was ended$/m);
  assert.match(said, /phantom +1 +delivered and not stored/);
  assert.match(
    said,
    / {2}breach 12\n {2}and 8 more: --json prints all\n\n {2}Not proven\.\n {2}Data, configs and logs: place$/,
  );
});
