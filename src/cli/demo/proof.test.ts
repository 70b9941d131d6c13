/** The proof must be able to fail: each kind of harm, fed in, is found and named. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberSet } from './number-set.ts';
import { type Evidence, type Proof, prove } from './proof.ts';
import { RecordTally, recordText } from './record-tally.ts';
import { TermWatch } from './term-watch.ts';

type Place = readonly [source: number, number: number];

interface Story {
  /** By source, as acked; each source has offered 1 to 4. */
  readonly acked?: readonly (readonly number[])[];
  /** As it stands in the store. */
  readonly stored?: readonly Place[];
  /** As the one subscriber got it. */
  readonly delivered?: readonly Place[];
  readonly gaps?: number;
  readonly terms?: TermWatch;
  readonly problems?: readonly string[];
}

const WHOLE: readonly Place[] = [1, 2, 3, 4].flatMap((number): Place[] => [
  [0, number],
  [1, number],
]);
const ALL = [1, 2, 3, 4];

const without = (source: number, number: number): Place[] => WHOLE.filter(([s, n]) => s !== source || n !== number);

function tallyOf(places: readonly Place[]): RecordTally {
  const tally = new RecordTally(2);
  for (const [at, [source, number]] of places.entries()) tally.take(recordText(source, number), () => `0:${at}`);
  return tally;
}

function evidenceOf({
  acked = [ALL, ALL],
  stored = WHOLE,
  delivered,
  gaps = 0,
  terms,
  problems = [],
}: Story): Evidence {
  return {
    sources: acked.map((numbers, i) => {
      const set = new NumberSet();
      for (const number of numbers) set.add(number);
      return { name: `producer-${i + 1}`, offered: 4, acked: set };
    }),
    stored: tallyOf(stored),
    subscribers: [{ name: 'subscriber-1', tally: tallyOf(delivered ?? stored), gaps }],
    terms: (terms ?? new TermWatch()).verdict(),
    ...{ faults: [], problems },
  };
}

function breached(story: Story, breach: RegExp): Proof {
  const proof = prove(evidenceOf(story));
  assert.equal(proof.isProven, false);
  assert.match(proof.breaches.join('\n'), breach);
  return proof;
}

test('nothing wrong: proven, with the counts', () => {
  const proof = prove(evidenceOf({}));
  assert.deepEqual(proof.breaches, []);
  assert.equal(proof.isProven, true);
  const { acked, stored, lost, duplicated, outOfOrder, foreign, phantom, unanswered, doubleActive } = proof;
  assert.deepEqual({ acked, stored, unanswered }, { acked: 8, stored: 8, unanswered: 0 });
  assert.deepEqual(
    { lost, duplicated, outOfOrder, foreign, phantom, doubleActive },
    { lost: 0, duplicated: 0, outOfOrder: 0, foreign: 0, phantom: 0, doubleActive: 0 },
  );
  assert.deepEqual(proof.delivered, [
    { subscriber: 'subscriber-1', records: 8, missed: 0, duplicated: 0, outOfOrder: 0, gaps: 0 },
  ]);
});

test('stored without an answer is no harm, whether it is there or not', () => {
  const proof = prove(evidenceOf({ acked: [ALL, [1, 2, 3]], stored: without(0, 9) }));
  assert.deepEqual([proof.isProven, proof.unanswered, proof.lost], [true, 1, 0]);
  const notStored = prove(evidenceOf({ acked: [ALL, [1, 2, 3]], stored: without(1, 4) }));
  assert.deepEqual([notStored.isProven, notStored.unanswered, notStored.stored], [true, 1, 7]);
});

test('lost: acked and not stored', () => {
  assert.equal(breached({ stored: without(1, 3) }, /producer-2: acked and not stored: 3/).lost, 1);
});

test('duplicated: the same number of a source stored again', () => {
  const proof = breached({ stored: [...WHOLE, [0, 2]] }, /stored at 0:8: number 2 of source 0 again/);
  assert.deepEqual([proof.duplicated, proof.outOfOrder, proof.lost], [1, 0, 0]);
});

test('reordered: a number stored after a higher one of its source', () => {
  const swapped: Place[] = [...without(0, 2), [0, 2]];
  const proof = breached({ stored: swapped }, /number 2 of source 0 after 4/);
  assert.deepEqual([proof.outOfOrder, proof.duplicated, proof.lost], [1, 0, 0]);
});

test('foreign: stored and never sent, or nothing of this demo', () => {
  assert.equal(breached({ stored: [...WHOLE, [1, 7]] }, /number 7 is stored, and only 4 were sent/).foreign, 3);
  assert.equal(breached({ stored: [...WHOLE, [5, 1]], delivered: WHOLE }, /is no record of this demo/).foreign, 1);
});

test('a subscriber that missed, got twice, got out of order, got what is not stored, or was told of a gap', () => {
  assert.equal(
    breached({ delivered: without(0, 4) }, /subscriber-1: never got of source 0: 4/).delivered[0]?.missed,
    1,
  );
  assert.equal(breached({ delivered: [...WHOLE, [1, 4]] }, /number 4 of source 1 again/).delivered[0]?.duplicated, 1);
  const late: Place[] = [...without(1, 1), [1, 1]];
  assert.equal(breached({ delivered: late }, /number 1 of source 1 after 4/).delivered[0]?.outOfOrder, 1);
  const phantom = breached(
    { acked: [ALL, [1, 2, 3]], stored: without(1, 4), delivered: WHOLE },
    /got of source 1 what is not stored: 4/,
  );
  assert.equal(phantom.phantom, 1);
  assert.equal(breached({ gaps: 2 }, /was told 2 times that records were missed/).delivered[0]?.gaps, 2);
});

test('two active nodes', () => {
  const terms = new TermWatch();
  terms.active('a', 3, 0, 1);
  terms.active('b', 3, 2, 3);
  assert.equal(breached({ terms }, /a and b are active under the same term 3/).doubleActive, 1);
});

test('a store that could not be read proves nothing, and other problems count', () => {
  const proof = prove({ ...evidenceOf({ problems: ['the store could not be read back'] }), stored: null });
  assert.deepEqual([proof.isProven, proof.stored, proof.breaches.length], [false, 0, 1]);
  breached({ problems: ['node a ended by itself'] }, /ended by itself/);
});
