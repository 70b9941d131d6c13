/** The project's laws, held over its own files. Every complaint names the file, the line and what to do instead. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAll, textFiles } from './project-files.ts';
import { bans, noUnfinishedMarks } from './rules/bans.ts';
import { importMatrix, noCycles, noProductionImportOfTests, noUnreachedFiles } from './rules/imports.ts';
import { machinePaths, names } from './rules/names.ts';
import { fileSizes, functionSizes, type Ratchet } from './rules/sizes.ts';
import type { Violation } from './source-file.ts';

const texts = textFiles();
const files = parseAll(texts);
const ratchet = JSON.parse(readFileSync(join(import.meta.dirname, 'ratchet.json'), 'utf8')) as Ratchet;

function holds(violations: readonly Violation[]): void {
  const lines = violations.map(({ path, line, message }) => `${path}:${line} ${message}`);
  assert.equal(lines.length, 0, `\n${lines.join('\n')}`);
}

test('there are files to judge, and all of them parse', () => {
  assert.ok(files.length > 50, `${files.length} files`);
  assert.deepEqual(
    files.filter(({ syntaxErrors }) => syntaxErrors.length > 0).map(({ path, syntaxErrors }) => [path, syntaxErrors]),
    [],
  );
});

test('stages import only what the design allows', () => holds(importMatrix(files)));
test('production code imports no test code', () => holds(noProductionImportOfTests(files)));
test('there are no import cycles', () => holds(noCycles(files)));
test('every file is reached from a program', () => holds(noUnreachedFiles(files)));
test('nothing banned is called, imported or left unfinished', () =>
  holds([...bans(files), ...noUnfinishedMarks(files)]));
test('folders and files have names that say something', () => holds(names(files)));
test('no path of one machine is in the project', () => holds(machinePaths(texts)));
test('functions and files are of a readable size', () =>
  holds([...functionSizes(files), ...fileSizes(files, ratchet)]));
