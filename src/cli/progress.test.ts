import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { startProgress } from './progress.ts';

function screenOf(isTTY: boolean): { isTTY: boolean; columns: number; texts: string[]; write(text: string): boolean } {
  const texts: string[] = [];
  return { isTTY, columns: 100, texts, write: (text) => texts.push(text) > 0 };
}

test('on a terminal: one line that is redrawn at most ten times a second and goes away', () => {
  const screen = screenOf(true);
  let nowMs = 0;
  const progress = startProgress('published', screen, () => nowMs);
  for (nowMs = 1000; nowMs < 2000; nowMs += 10) progress.update(nowMs, 4000);
  assert.equal(screen.texts.length, 10);
  assert.match(
    stripVTControlCharacters(screen.texts[0] ?? '').trimStart(),
    /^published █{6}░{18} 25 % {2}1,000\/4,000 {2}1,000\/s {2}3\.0 s left$/,
  );
  progress.end();
  assert.equal(screen.texts.at(-1), '\r\u001b[K');
});

test('in a pipe: a line every five seconds and nothing else', () => {
  const screen = screenOf(false);
  let nowMs = 0;
  const progress = startProgress('published', screen, () => nowMs);
  for (nowMs = 100; nowMs <= 12_000; nowMs += 100) progress.update(nowMs);
  progress.end();
  assert.deepEqual(screen.texts, ['published 5,000  1,000/s  5.0 s\n', 'published 10,000  1,000/s  10.0 s\n']);
});
