import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TandemError } from '../core/errors.ts';
import { type ConfigSources, loadConfig } from './load.ts';
import type { ConfigProblem } from './problems.ts';
import type { ConfigInput } from './schema.ts';

function folderWith(t: TestContext, files: { readonly [name: string]: string }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-config-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

function refusal(sources: ConfigSources): TandemError & { problems: ConfigProblem[] } {
  try {
    loadConfig({ environment: {}, folder: '/nowhere', ...sources });
  } catch (error) {
    assert.ok(error instanceof TandemError, String(error));
    return Object.assign(error, { problems: error.data?.['problems'] as ConfigProblem[] });
  }
  return assert.fail('the config was accepted');
}

const problemsOf = (input: unknown): ConfigProblem[] => refusal({ input: input as ConfigInput }).problems;

test('without a config the node runs with the defaults of the design', () => {
  const config = loadConfig({ environment: {}, folder: '/nowhere' });
  assert.equal(config.dataFolder, '/nowhere/tandem-data');
  assert.deepEqual(config.engine, { kind: 'embedded' });
  assert.deepEqual(
    config.listen.map(({ protocol, host, port }) => [protocol, host, port]),
    [
      ['http', '127.0.0.1', 9500],
      ['tcp', '127.0.0.1', 9501],
      ['udp', '127.0.0.1', 9502],
    ],
  );
  const [, tcp, udp] = config.listen;
  assert.ok(tcp?.protocol === 'tcp' && udp?.protocol === 'udp');
  assert.deepEqual([tcp.topic, tcp.framing, tcp.ack, tcp.tls], ['data_queue', 'line', 'offset', null]);
  assert.deepEqual([udp.topic, udp.ack], ['data_queue', 'none']);
  assert.deepEqual([config.admin.host, config.admin.port], ['127.0.0.1', 9510]);
  assert.deepEqual(
    config.topics.map((topic) => [topic.name, topic.partitions]),
    [['data_queue', config.workers.count]],
  );
  assert.equal(config.configPath, null);
  assert.deepEqual(structuredClone(config), config);
});

test('the result is frozen to the bottom', () => {
  const config = loadConfig({ environment: {}, input: { workers: 2 } });
  assert.throws(() => Object.assign(config.workers, { count: 3 }), TypeError);
  assert.throws(() => (config.listen as unknown[]).push(1), TypeError);
});

test('a file is read with paths relative to its folder', (t) => {
  const folder = folderWith(t, {
    'node.yaml': `
name: n1
data: data
workers: 3
listen:
  - tcp://127.0.0.1:0?topic=orders&framing=length&ack=none
topics:
  big: { partitions: 8, retentionMs: 60000 }
consumers:
  save: { topic: invoices, to: ./handlers.ts, retry: { attemptsMax: 2 } }
  tell: { topic: orders, to: 'https://example.org/hook', secret: env:HOOK_SECRET, start: now }
push:
  queueBytesMax: 4096
  channels: { big: { policy: latest-per-key } }
`,
    'handlers.ts': 'export const save = () => {};\n',
  });
  const config = loadConfig({ configPath: 'node.yaml', folder, environment: { HOOK_SECRET: 's3' } });
  assert.equal(config.dataFolder, join(folder, 'data'));
  assert.deepEqual(
    config.topics.map(({ name, partitions }) => [name, partitions]),
    [
      ['big', 8],
      ['orders', 3],
      ['invoices', 3],
    ],
  );
  assert.deepEqual(config.consumers[0]?.target, { kind: 'handler', modulePath: join(folder, 'handlers.ts') });
  assert.deepEqual(config.consumers[0]?.retry, { attemptsMax: 2, backoffMs: 100, backoffMsMax: 30_000 });
  assert.deepEqual(config.consumers[1]?.target, { kind: 'webhook', url: 'https://example.org/hook', secret: 's3' });
  assert.deepEqual(config.push.channels, { big: { policy: 'latest-per-key', queueBytesMax: 4096 } });
});

test('tandem.yaml in the current folder is read unless another file is named', (t) => {
  const folder = folderWith(t, { 'tandem.yaml': 'name: usual', 'other.yaml': 'name: other' });
  assert.equal(loadConfig({ folder, environment: {} }).name, 'usual');
  assert.equal(loadConfig({ folder, environment: { TANDEM_CONFIG: 'other.yaml' } }).name, 'other');
  assert.equal(
    loadConfig({ folder, configPath: 'tandem.yaml', environment: { TANDEM_CONFIG: 'other.yaml' } }).name,
    'usual',
  );
});

test('all problems are told at once, each with line, value and what would be accepted', (t) => {
  const folder = folderWith(t, {
    'tandem.yaml': `name: n1
engin: embedded
workers:
  count: many
limits:
  recordBytesMax: 0
  requestBytesMaxx: 5
consumers:
  save:
    topic: "two words"
rpc: {}
listen:
  - tcp://127.0.0.1:9501?topik=x
`,
  });
  const { problems, code, message } = refusal({ folder });
  assert.equal(code, 'TANDEM_CONFIG_INVALID');
  const told = problems.map(({ path, line }) => [path, line]).sort((a, b) => Number(a[1]) - Number(b[1]));
  assert.deepEqual(told, [
    ['engin', 2],
    ['workers.count', 4],
    ['limits.recordBytesMax', 6],
    ['limits.requestBytesMaxx', 7],
    ['consumers.save.to', 9],
    ['consumers.save.topic', 10],
    ['rpc', 11],
    ['listen[0]', 13],
  ]);
  assert.match(message, /engin is not a known key; did you mean "engine"\?/);
  assert.match(message, /workers\.count is not valid: "many"; accepted: an integer from 1 to 1024/);
  assert.match(message, /limits\.recordBytesMax is not valid: 0; accepted: an integer of at least 1/);
  assert.match(message, /did you mean "requestBytesMax"/);
  assert.match(message, /consumers\.save\.to is missing/);
  assert.match(message, /rpc is known, but this version of Tandem does not have it yet/);
  assert.match(message, /did you mean topic\?; accepted: topic, framing, ack, tls/);
  assert.match(message, /tandem\.yaml:13: listen\[0\]/);
});

test('duplicate keys and broken YAML are named with their line', (t) => {
  const folder = folderWith(t, { 'tandem.yaml': 'name: a\ndata: x\nname: b\n', 'broken.yaml': 'name: [a\ndata: x\n' });
  const [duplicate] = refusal({ folder }).problems;
  assert.deepEqual([duplicate?.line, duplicate?.problem], [3, 'the key "name" stands here for the second time']);
  assert.match(refusal({ folder, configPath: 'broken.yaml' }).problems[0]?.problem ?? '', /is not valid YAML/);
  assert.match(refusal({ folder, configPath: 'absent.yaml' }).problems[0]?.problem ?? '', /cannot be read: ENOENT/);
});

test('a listener or admin that others can reach needs tokens or insecure: true', () => {
  const error = refusal({ input: { listen: ['http://0.0.0.0:9500'], admin: 'http://[::]:9510' } });
  assert.equal(error.code, 'TANDEM_EXPOSED_WITHOUT_AUTH');
  assert.deepEqual(
    error.problems.map(({ path }) => path),
    ['listen[0]', 'admin'],
  );
  for (const input of [
    { listen: [{ url: 'http://0.0.0.0:0', insecure: true }] },
    { listen: ['http://0.0.0.0:0'], auth: { tokens: [{ name: 'a', token: 'secret' }] } },
    { listen: ['tcp://127.8.9.1:0', 'http://[::1]:0', 'udp://localhost:0'] },
  ])
    loadConfig({ environment: {}, input });
});

test('UDP carries no token, so tokens do not make it safe', () => {
  const auth = { tokens: [{ name: 'a', token: 'secret' }] };
  assert.equal(refusal({ input: { listen: ['udp://0.0.0.0:0'], auth } }).code, 'TANDEM_EXPOSED_WITHOUT_AUTH');
  loadConfig({ environment: {}, input: { listen: [{ url: 'udp://0.0.0.0:0', insecure: true }], auth } });
});

test('with other problems the exposure is one of them, and no guess while auth is wrong', () => {
  const both = refusal({ input: { workers: 0, listen: ['http://0.0.0.0:1'] } });
  assert.equal(both.code, 'TANDEM_CONFIG_INVALID');
  assert.deepEqual(
    both.problems.map(({ path, code }) => [path, code]),
    [
      ['workers', undefined],
      ['listen[0]', 'TANDEM_EXPOSED_WITHOUT_AUTH'],
    ],
  );
  const wrongAuth = problemsOf({ listen: ['http://0.0.0.0:1'], auth: { tokens: [{ name: 'a' }] } });
  assert.deepEqual(
    wrongAuth.map(({ path }) => path),
    ['auth.tokens[0].token'],
  );
});

test('rules between keys', () => {
  const cases: readonly (readonly [input: unknown, path: string])[] = [
    [{ listen: ['tcp://127.0.0.1:7', 'http://127.0.0.1:7'] }, 'listen[1]'],
    [{ listen: ['http://127.0.0.1:7'], admin: 'http://localhost:7' }, 'admin'],
    [{ admin: 'tcp://127.0.0.1:7' }, 'admin'],
    [{ listen: ['https://127.0.0.1:7'] }, 'listen[0]'],
    [{ listen: ['tcp://127.0.0.1:70000'] }, 'listen[0]'],
    [{ listen: ['tcp://127.0.0.1:7?ack=maybe'] }, 'listen[0]'],
    [{ listen: ['tcp://127.0.0.1:7?proxy=yes'] }, 'listen[0]'],
    [{ listen: [{ url: 'udp://127.0.0.1:7', tls: { cert: 'package.json', key: 'x' } }] }, 'listen[0]'],
    [{ listen: ['tcp://127.0.0.1:7?tls=absent.pem,absent.key'] }, 'listen[0]'],
    [{ engine: 'memory', workers: 2 }, 'workers.count'],
    [{ limits: { recordBytesMax: 32 * 1024 * 1024 } }, 'limits.recordBytesMax'],
    [{ topics: { t: { partitions: 2000 } } }, 'topics.t.partitions'],
    [{ consumers: { c: { topic: 't', to: 'mysql://x/y' } } }, 'consumers.c.to'],
    [{ consumers: { c: { topic: 't', to: './absent.ts' } } }, 'consumers.c.to'],
    [{ consumers: { c: { topic: 't', to: 'http://x/', secret: 'env:ABSENT' } } }, 'consumers.c.secret'],
    [
      { consumers: { c: { topic: 't', to: 'http://x/', retry: { backoffMs: 10, backoffMsMax: 9 } } } },
      'consumers.c.retry.backoffMs',
    ],
    [
      {
        auth: {
          tokens: [
            { name: 'a', token: 'x' },
            { name: 'a', token: 'y' },
          ],
        },
      },
      'auth.tokens[1].name',
    ],
    [
      {
        auth: {
          tokens: [
            { name: 'a', token: 'x' },
            { name: 'b', token: 'x' },
          ],
        },
      },
      'auth.tokens[1].token',
    ],
    [{ auth: { tokens: [{ name: 'a', token: 'x', publish: ['a*b'] }] } }, 'auth.tokens[0].publish[0]'],
  ];
  for (const [input, path] of cases)
    assert.ok(
      problemsOf(input).some((problem) => problem.path === path),
      `${JSON.stringify(input)}: ${JSON.stringify(problemsOf(input))}`,
    );
});

test('retry.backoffMs may equal retry.backoffMsMax', () => {
  const retry = { backoffMs: 9, backoffMsMax: 9 };
  loadConfig({ environment: {}, input: { consumers: { c: { topic: 't', to: 'http://x/', retry } } } });
});

test('a secret is never repeated in a problem', () => {
  const { message } = refusal({
    input: { auth: { tokens: [{ name: 'a', token: 12345678 }] } } as unknown as ConfigInput,
  });
  assert.doesNotMatch(message, /12345678/);
});

test('the environment overrides the file, flags override both', (t) => {
  const folder = folderWith(t, { 'tandem.yaml': 'name: file\nworkers: 2\nlimits: { topicsMax: 5 }\n' });
  const environment = {
    TANDEM_NAME: 'environment',
    TANDEM_DATA: 'elsewhere',
    TANDEM_WORKERS_DRAIN_TIMEOUT_MS: '7',
    TANDEM_LIMITS_RECORD_BYTES_MAX: '4096',
    TANDEM_LIMITS_TOPIC_AUTO_CREATE: 'false',
    TANDEM_LISTEN: 'tcp://127.0.0.1:0?topic=a http://127.0.0.1:0',
    TANDEM_PORT: 'tcp://10.0.0.1:9500',
    TANDEM_SERVICE_HOST: '10.0.0.1',
  };
  const config = loadConfig({ folder, environment, flags: { name: 'flag', 'workers.count': undefined } });
  assert.equal(config.name, 'flag');
  assert.equal(config.dataFolder, join(folder, 'elsewhere'));
  assert.deepEqual([config.workers.count, config.workers.drainTimeoutMs], [2, 7]);
  assert.deepEqual(
    [config.limits.recordBytesMax, config.limits.topicAutoCreate, config.limits.topicsMax],
    [4096, false, 5],
  );
  assert.equal(config.listen.length, 2);
});

test('problems of overrides name the variable or the flag', () => {
  const environment = { TANDEM_LIMITS_RECORD_BYTES_MAX: '1MB', TANDEM_LIMITS_NONSENSE: '1', TANDEM_NAMES: 'x' };
  const { problems } = refusal({ environment, flags: { 'workers.count': 'x', listen: ['nonsense'] } });
  assert.deepEqual(
    problems.map(({ where, path }) => [where, path]),
    [
      ['TANDEM_LIMITS_NONSENSE', ''],
      ['TANDEM_NAMES', ''],
      ['--workers', 'workers.count'],
      ['TANDEM_LIMITS_RECORD_BYTES_MAX', 'limits.recordBytesMax'],
      ['--listen', 'listen[0]'],
    ],
  );
});

test('allowed origins are kept as browsers send them; "*" needs tokens', () => {
  const originsOf = (auth: ConfigInput['auth'], environment = {}) =>
    loadConfig({ environment, folder: '/nowhere', input: { auth } }).auth.allowedOrigins;
  assert.deepEqual(
    originsOf({ allowedOrigins: ['HTTPS://App.Example:443', 'http://a:8080/', 'capacitor://localhost'] }),
    ['https://app.example', 'http://a:8080', 'capacitor://localhost'],
  );
  assert.deepEqual(originsOf(undefined, { TANDEM_AUTH_ALLOWED_ORIGINS: 'https://a https://b' }), [
    'https://a',
    'https://b',
  ]);
  for (const wrong of [
    'app.example',
    'https://app.example/path',
    'https://*.app.example',
    'null',
    'https://',
    'http://a:99999',
  ])
    assert.deepEqual(
      problemsOf({ auth: { allowedOrigins: [wrong] } }).map(({ path }) => path),
      ['auth.allowedOrigins[0]'],
      wrong,
    );
  assert.match(problemsOf({ auth: { allowedOrigins: ['*'] } })[0]?.accepted ?? '', /auth\.tokens/);
  const tokens = [{ name: 'a', token: 'secret' }];
  assert.deepEqual(originsOf({ allowedOrigins: ['*'], tokens }), ['*']);
});

test('engine: a URL is checked whole, and never shown with its password', () => {
  const load = (engine: ConfigInput['engine']) =>
    loadConfig({ environment: { REDIS: 'redis://:secret@h:1' }, folder: '/tmp', input: { engine } });
  assert.equal(load({ url: 'env:REDIS', ack: 'stored' }).engine.kind, 'redis');
  const refused = (engine: ConfigInput['engine'], expected: RegExp): void =>
    assert.throws(
      () => load(engine),
      ({ code, message }: TandemError) =>
        code === 'TANDEM_CONFIG_INVALID' && expected.test(message) && !message.includes('secret'),
    );
  refused('redis://:secret@h:99999', /engine.*port is 1 to 65535/);
  refused('redis+sentinel://:secret@h', /name of the master is missing/);
  refused('http://:secret@h', /engine is no engine/);
  refused({ url: 'embedded', ack: 'stored' }, /engine\.ack means nothing/);
});
