/** Types, lint and dead code: what other tools find, as tests. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../tidy/project-files.ts';

function passes(tool: string, ...args: string[]): void {
  const path = join(PROJECT_ROOT, 'node_modules', '.bin', tool);
  const { status, stdout, stderr, error } = spawnSync(path, args, { cwd: PROJECT_ROOT, encoding: 'utf8' });
  assert.equal(error, undefined);
  assert.equal(status, 0, `${tool} ${args.join(' ')}\n${stdout}${stderr}`);
}

test('types: tsc, strict', () => passes('tsc', '-p', '.', '--pretty', 'false'));
test('lint and format: biome', () => passes('biome', 'check', '--error-on-warnings', '--max-diagnostics=40', '.'));
test('dead files, exports and dependencies: knip', () => passes('knip', '--no-progress'));
