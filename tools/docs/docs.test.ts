/** Docs and code say the same, both ways. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { ENVIRONMENT_NAMES } from '../../src/config/environment.ts';
import { configSchema } from '../../src/config/schema.ts';
import { parseYaml } from '../../src/config/yaml-file.ts';
import { ERRORS, type ErrorCode, TandemError } from '../../src/core/errors.ts';
import { isProduction } from '../tidy/layout.ts';
import { PROJECT_ROOT, textFiles } from '../tidy/project-files.ts';
import { GENERATED } from './generated.ts';

const texts = textFiles();
const codes = Object.keys(ERRORS) as ErrorCode[];

for (const [path, content] of GENERATED)
  test(`${path} is what the code says (else: npm run docs)`, () => {
    assert.equal(readFileSync(join(PROJECT_ROOT, path), 'utf8'), content());
  });

const REGISTRY: readonly string[] = ['src/core/error-registry.ts', 'src/core/store-errors.ts'];

test('nothing generated depends on the machine', () => {
  for (const [path, content] of GENERATED) assert.doesNotMatch(content(), /\/(home|root|tmp|Users)\//, path);
});

test('every error code in the registry is used somewhere, and every code used is in the registry', () => {
  const used = new Map<string, string>();
  for (const { path, text } of texts)
    if (isProduction(path) && path.endsWith('.ts') && !REGISTRY.includes(path))
      for (const [code] of text.replaceAll(/^\s*(\*|\/\/|\/\*).*$/gm, '').matchAll(/\bTANDEM_[A-Z_]+[A-Z]\b/g))
        used.set(code, path);
  assert.deepEqual(
    codes.filter((code) => !used.has(code)),
    [],
    'codes that nothing throws: use them or remove them',
  );
});

test('documentation names no code that does not exist', () => {
  const known = new Set<string>([...codes, 'TANDEM_LOG_LEVEL', ...ENVIRONMENT_NAMES.map(({ name }) => name)]);
  const unknown = texts
    .filter(({ path }) => path.endsWith('.md'))
    .flatMap(({ path, text }) =>
      [
        ...text.matchAll(
          /\bTANDEM_(?:AUTH|RECORD|BATCH|TOPIC|PARTITION|POSITION|DISK|STORE|LOG|SESSION|SUBSCRIPTION|CONSUMER|DELIVERY)_[A-Z_]+[A-Z]\b/g,
        ),
      ]
        .map(([code]) => code)
        .filter((code) => !known.has(code))
        .map((code) => `${path}: ${code}`),
    );
  assert.deepEqual(unknown, []);
});

test('numbers are unique, close codes too, and they tell whether to reconnect', () => {
  const unique = (values: readonly number[]): void => assert.equal(new Set(values).size, values.length);
  const specs = Object.values(ERRORS);
  unique(specs.map(({ number }) => number));
  unique(specs.map(({ closeCode }) => closeCode));
  for (const [code, { closeCode, retryable, httpStatus }] of Object.entries(ERRORS)) {
    assert.ok(closeCode >= 4000 && closeCode < 4300 && httpStatus >= 400 && httpStatus < 600, code);
    // These two never end a session, so their close code is never sent.
    if (code !== 'TANDEM_TOPIC_LIMIT' && code !== 'TANDEM_DELIVERY_FAILED')
      assert.equal(closeCode >= 4100, retryable, code);
  }
});

test('each error carries its own code, number, status and hint', () => {
  for (const code of codes) {
    const error = new TandemError(code, { detail: 'detail', data: { fact: 1 } });
    assert.equal(error.code, code);
    assert.deepEqual(
      [error.number, error.httpStatus, error.closeCode, error.retryable],
      [ERRORS[code].number, ERRORS[code].httpStatus, ERRORS[code].closeCode, ERRORS[code].retryable],
    );
    assert.deepEqual(error.toJSON(), {
      code,
      message: `${ERRORS[code].message}: detail`,
      hint: error.hint,
      retryable: error.retryable,
      data: { fact: 1 },
    });
    assert.ok(error.hint.endsWith('.'), code);
  }
});

test('every YAML sample in the documentation is a valid config', () => {
  let samples = 0;
  for (const { path, text } of texts.filter((each) => each.path.endsWith('.md')))
    for (const [, yaml = ''] of text.matchAll(/```yaml\n([\s\S]*?)```/g)) {
      const { input, problems } = parseYaml(yaml, path);
      assert.deepEqual(problems, []);
      const parsed = configSchema.safeParse(input);
      assert.ok(parsed.success, `${path}: ${JSON.stringify(parsed.error?.issues)}`);
      samples++;
    }
  assert.ok(samples > 0);
});

test('docs/cli.md has every command, every variable and the exit codes', () => {
  const page = readFileSync(join(PROJECT_ROOT, 'docs/cli.md'), 'utf8');
  const sources = texts.filter(({ path }) => path.startsWith('src/cli/') && isProduction(path));
  const matches = (pattern: RegExp): string[] =>
    sources.flatMap(({ text }) => [...text.matchAll(pattern)].map((match) => match[1] ?? ''));
  const commands = matches(/program\.command\('([a-z]+)'/g);
  assert.ok(commands.length >= 8);
  for (const command of commands) assert.match(page, new RegExp(`tandem ${command}\\b`), command);
  for (const name of matches(/'(TANDEM_(?:URL|ADMIN_URL|TOKEN|CONFIG))'/g))
    assert.ok(page.includes(`\`${name}\``), name);
  const codes = [...page.matchAll(/^\| (\d) \|/gm)].map((match) => Number(match[1]));
  assert.deepEqual(codes, Object.values(EXIT));
});

test('links between documents lead somewhere', () => {
  const known = new Set(texts.map(({ path }) => path));
  const broken = texts
    .filter(({ path }) => path.endsWith('.md'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)(#[^)]*)?\)/g)]
        .map(([, link = '']) => join(path, '..', link).replace(/\/$/, ''))
        .filter((target) => !known.has(target) && ![...known].some((each) => each.startsWith(`${target}/`)))
        .filter((target) => !(target.endsWith('.png') && existsSync(join(PROJECT_ROOT, target))))
        .map((target) => `${path} -> ${target}`),
    );
  assert.deepEqual(broken, []);
});
