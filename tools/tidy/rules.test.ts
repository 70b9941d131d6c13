/** Each rule fires on a bad sample, with the line and the replacement, and is silent on the good one beside it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bans, noUnfinishedMarks } from './rules/bans.ts';
import { importMatrix, noCycles, noProductionImportOfTests, noUnreachedFiles } from './rules/imports.ts';
import { machinePaths, names } from './rules/names.ts';
import { fileSizes, functionSizes } from './rules/sizes.ts';
import { parseSource, type Rule, type Violation } from './source-file.ts';

type Sample = { readonly [path: string]: string };

const judge = (rule: Rule, sample: Sample): Violation[] =>
  rule(Object.entries(sample).map(([path, text]) => parseSource(path, text)));

function fires(rule: Rule, sample: Sample, path: string, line: number, message: RegExp): void {
  const found = judge(rule, sample);
  assert.deepEqual(
    found.map((violation) => [violation.path, violation.line]),
    [[path, line]],
    JSON.stringify(found),
  );
  assert.match(found[0]?.message ?? '', message);
}

const silent = (rule: Rule, sample: Sample): void => assert.deepEqual(judge(rule, sample), []);

test('a stage that imports another stage, as a value or a type', () => {
  const path = 'src/listeners/tcp/x.ts';
  fires(
    importMatrix,
    { [path]: "\nimport { Ingest } from '../../ingest/ingest.ts';" },
    path,
    2,
    /listeners may not import ingest/,
  );
  fires(importMatrix, { [path]: "import type { Ingest } from '../../ingest/ingest.ts';" }, path, 1, /contract/);
  fires(importMatrix, { [path]: "export { a } from '../../push/a.ts';" }, path, 1, /push/);
  fires(importMatrix, { [path]: "const x = await import('../../push/a.ts');" }, path, 1, /push/);
  fires(importMatrix, { [path]: "type X = import('../../push/a.ts').X;" }, path, 1, /push/);
  silent(importMatrix, {
    [path]: "import { a } from '../framer.ts'; import { b } from '../../core/errors.ts'; import 'node:fs';",
  });
  silent(importMatrix, {
    [path]: "// import { Ingest } from '../../ingest/ingest.ts'\nconst s = `import '../../push/a.ts'`;",
  });
  silent(importMatrix, { 'src/topology/worker.ts': "import { Ingest } from '../ingest/ingest.ts';" });
  silent(importMatrix, { 'src/listeners/tcp/x.test.ts': "import { Ingest } from '../../ingest/ingest.ts';" });
});

test('the matrix: engines know only core, push and rpc not each other, nobody the command line', () => {
  const from = (path: string, target: string): void =>
    fires(importMatrix, { [path]: `import { a } from '${target}';` }, path, 1, /may not import/);
  from('src/engines/memory/x.ts', '../embedded/y.ts');
  from('src/engines/memory/x.ts', '../../telemetry/y.ts');
  from('src/push/x.ts', '../rpc/y.ts');
  from('src/rpc/x.ts', '../push/y.ts');
  from('src/core/x.ts', '../config/y.ts');
  from('src/topology/x.ts', '../cli/y.ts');
  from('src/cli/x.ts', '../ingest/y.ts');
  from('src/ingest/x.ts', 'tandem-client');
  from('client/src/x.ts', '../../src/core/y.ts');
  from('client/src/x.ts', 'node:net');
  silent(importMatrix, { 'src/cli/x.ts': "import { connect } from 'tandem-client';" });
  from('src/core/x.ts', '../../tools/y.ts');
  fires(importMatrix, { 'src/stuff/x.ts': 'export {};' }, 'src/stuff/x.ts', 1, /not a stage/);
});

test('production code that imports test code', () => {
  const path = 'src/ingest/x.ts';
  fires(
    noProductionImportOfTests,
    { [path]: "import { until } from '../core/testing/until.ts';" },
    path,
    1,
    /test code/,
  );
});

test('cycles, of values and of types', () => {
  const a = "import { b } from './b.ts';";
  fires(
    noCycles,
    { 'src/core/a.ts': a, 'src/core/b.ts': "import type { a } from './a.ts';" },
    'src/core/a.ts',
    1,
    /a\.ts -> src\/core\/b\.ts -> src/,
  );
  silent(noCycles, { 'src/core/a.ts': a, 'src/core/b.ts': '' });
});

test('files that nothing, or only a test, reaches', () => {
  const entry = { 'src/cli/main.ts': "import '../core/a.ts'; new URL('../topology/worker-main.ts', import.meta.url);" };
  const reached = { ...entry, 'src/core/a.ts': '', 'src/topology/worker-main.ts': '' };
  silent(noUnreachedFiles, reached);
  fires(noUnreachedFiles, { ...reached, 'src/core/b.ts': '' }, 'src/core/b.ts', 1, /nothing reaches/);
  fires(
    noUnreachedFiles,
    { ...reached, 'src/core/b.ts': '', 'src/core/b.test.ts': "import './b.ts';" },
    'src/core/b.ts',
    1,
    /only its test/,
  );
  silent(noUnreachedFiles, {
    ...reached,
    'src/core/testing/c.ts': '',
    'src/core/b.test.ts': "import './testing/c.ts';",
  });
});

test('each ban names its replacement', () => {
  const ban = (path: string, code: string, replacement: RegExp): void => {
    fires(bans, { [path]: code }, path, 1, replacement);
  };
  ban('src/ingest/x.ts', 'const t = Date.now();', /clock\.nowMs/);
  ban('src/ingest/x.ts', 'const t = new Date();', /clock\.nowMs/);
  ban('src/cluster/x.ts', 'setTimeout(f, 5);', /clock\.after/);
  ban('src/consumers/x.ts', 'setImmediate(f);', /clock\.soon/);
  ban('src/consumers/x.ts', 'const r = Math . random();', /random\.fraction/);
  ban('src/engines/memory/x.ts', "import { open } from 'node:fs/promises';", /Disk port/);
  ban('src/ingest/x.ts', "import { connect } from 'node:net';", /port of core\/ports/);
  ban('src/push/x.ts', "throw new Error('x');", /new TandemError/);
  ban('src/push/x.ts', 'process.exit(1);', /throw a TandemError/);
  ban('src/consumers/x.ts', 'await this.#engine.store.append(batch);', /only src\/ingest appends/);
  ban('src/push/x.ts', 'await store?.append(batch);', /only src\/ingest appends/);
  ban('src/push/x.test.ts', 'await sleep(50);', /until/);
  ban('src/push/x.test.ts', "import { setTimeout } from 'node:timers/promises';", /until/);
  ban('src/push/x.test.ts', 'await new Promise((resolve) => setTimeout(resolve, 50));', /until/);
});

test('what looks like a banned call and is none', () => {
  silent(bans, {
    'src/ingest/a.ts':
      "// Date.now()\nconst s = 'new Error()'; await store.append(batch); import type { Socket } from 'node:net';",
    'src/push/a.ts': 'setTimeout(f, 5); buffer.append(x); headers.append(y);',
    'src/supervisor/a.ts': 'process.exit(1);',
    'src/push/a.test.ts':
      "throw new Error('x'); const t = setTimeout(() => reject(e), 5); new Promise((resolve) => emitter.once('x', resolve));",
  });
});

test('unfinished marks', () => {
  fires(noUnfinishedMarks, { 'src/core/a.ts': "const s = 'TODO';\n// TODO: later" }, 'src/core/a.ts', 2, /do it/);
});

test('names that say nothing, and names in another style', () => {
  fires(names, { 'src/core/utils/a.ts': '' }, 'src/core/utils/a.ts', 1, /"utils"/);
  fires(names, { 'src/core/fooBar.ts': '' }, 'src/core/fooBar.ts', 1, /kebab-case/);
  silent(names, { 'src/core/foo-bar.test.ts': '', 'src/core/foo.model.test.ts': '' });
});

test('paths of one machine', () => {
  const path = ['', 'home', 'me', 'x'].join('/');
  assert.equal(machinePaths([{ path: 'README.md', text: `a\ncd ${path}` }])[0]?.line, 2);
  assert.deepEqual(machinePaths([{ path: 'README.md', text: `http://host${path} and ./src/home/x` }]), []);
});

test('sizes, and a ratchet that only shrinks', () => {
  const functionOf = (lines: number): string => `const f = () => {\n${'x();\n'.repeat(lines - 2)}};`;
  silent(functionSizes, { 'src/core/a.ts': functionOf(70) });
  fires(functionSizes, { 'src/core/a.ts': functionOf(71) }, 'src/core/a.ts', 1, /71 lines/);
  const fileOf = (lines: number) => [parseSource('a.ts', 'x();\n'.repeat(lines))];
  const messages = (lines: number, allowed?: number): string[] =>
    fileSizes(fileOf(lines), allowed === undefined ? {} : { 'a.ts': allowed }).map(({ message }) => message);
  assert.deepEqual(messages(400), []);
  assert.match(messages(401)[0] ?? '', /split it/);
  assert.deepEqual(messages(450, 450), []);
  assert.match(messages(451, 450)[0] ?? '', /at most 450/);
  assert.match(messages(449, 450)[0] ?? '', /lower its entry/);
  assert.match(messages(400, 450)[0] ?? '', /remove it from ratchet/);
  assert.match(messages(601, 700).at(-1) ?? '', /at most 600/);
});
