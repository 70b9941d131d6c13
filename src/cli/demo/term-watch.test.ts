import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TermWatch } from './term-watch.ts';

function turns(watch: TermWatch, count: number): void {
  for (let i = 0; i < count; i++) watch.turn();
}

test('terms that rise: none is wrong, and all are counted', () => {
  const watch = new TermWatch();
  watch.active('a', 2, 0, 1);
  watch.acked(2);
  watch.stored(2, 0, 0);
  watch.stored(2, 1, 7);
  watch.active('b', 5, 10, 11);
  watch.acked(5);
  watch.stored(5, 0, 1);
  watch.stored(5, 0, 2);
  // Partition 1 has its own offsets.
  watch.stored(5, 1, 8);
  assert.deepEqual(watch.verdict(), { count: 2, first: 2, last: 5, doubleActive: 0, findings: [] });
});

test('place: stored and acked under an older term behind what was stored under a newer one', () => {
  const watch = new TermWatch();
  watch.stored(2, 3, 10);
  watch.stored(5, 3, 11);
  watch.stored(2, 3, 12);
  const { doubleActive, findings } = watch.verdict();
  assert.equal(doubleActive, 1);
  assert.deepEqual(findings, ['3:12 was stored under term 2, after 3:11 under 5']);
});

test('time: an ack of before may still lie in a socket, but not for long', () => {
  const watch = new TermWatch();
  watch.acked(2);
  watch.acked(5);
  turns(watch, 5);
  watch.acked(2);
  assert.equal(watch.verdict().doubleActive, 0);
  turns(watch, 50);
  watch.acked(2);
  assert.equal(watch.verdict().doubleActive, 1);
  watch.acked(7);
  watch.acked(5);
  assert.equal(watch.verdict().doubleActive, 1);
});

test('roles: asked after another was active under a newer term, a node says that it is active under an older one', () => {
  const watch = new TermWatch();
  watch.active('a', 2, 0, 10);
  watch.active('b', 5, 12, 20);
  // Asked before the answer of b came: a may have been active when it was asked.
  watch.active('a', 2, 19, 22);
  assert.equal(watch.verdict().doubleActive, 0);
  watch.active('a', 2, 21, 23);
  assert.equal(watch.verdict().doubleActive, 1);
  assert.deepEqual(watch.verdict().findings, ['a is active under term 2, after b under 5']);
});
