import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TandemError } from '../core/errors.ts';
import { loadConfig } from './load.ts';
import type { ConfigProblem } from './problems.ts';
import type { ConfigInput, ListenInput } from './schema.ts';

const load = (input: ConfigInput, environment: { [name: string]: string } = {}) =>
  loadConfig({ environment, folder: '/nowhere', input });
const sourceOf = (...listen: ListenInput[]) => load({ listen }).sources[0];

function problemsOf(input: ConfigInput): { problems: ConfigProblem[]; text: string } {
  try {
    load(input);
  } catch (error) {
    const { data, message } = error as TandemError;
    return { problems: data?.['problems'] as ConfigProblem[], text: message };
  }
  return assert.fail(`accepted: ${JSON.stringify(input)}`);
}

test('a list on one server: defaults, and everything said', () => {
  const plain = sourceOf('redis-list://127.0.0.1/message_queue');
  assert.deepEqual(plain, {
    kind: 'redis-list',
    place: {
      url: 'redis-list://127.0.0.1/message_queue',
      list: 'message_queue',
      endpoint: {
        servers: [{ host: '127.0.0.1', port: 6379 }],
        ...{ masterName: null, database: 0, isTls: false },
        ...{ username: null, password: null, sentinelUsername: null, sentinelPassword: null },
      },
    },
    topic: 'data_queue',
    from: 'right',
    takers: 1024,
  });
  const full = sourceOf('rediss-list://me:p%40ss@[::1]:7000/3/queues:a%2Fb?topic=orders&from=left&takers=1');
  assert.equal(full?.place.list, 'queues:a/b');
  assert.equal(full?.place.url, 'rediss-list://[::1]:7000/3/queues:a%2Fb');
  const { servers, database, isTls, username, password } = full?.place.endpoint ?? assert.fail();
  assert.deepEqual(
    [servers, database, isTls, username, password],
    [[{ host: '::1', port: 7000 }], 3, true, 'me', 'p@ss'],
  );
  assert.deepEqual([full?.topic, full?.from, full?.takers], ['orders', 'left', 1]);
});

test('a list behind Sentinels', () => {
  const source = sourceOf('redis-list+sentinel://:pw@s1,s2:7001/main/2/queue?topic=t&sentinelPassword=other');
  const { servers, masterName, database, password, sentinelPassword } = source?.place.endpoint ?? assert.fail();
  assert.deepEqual(servers, [
    { host: 's1', port: 26379 },
    { host: 's2', port: 7001 },
  ]);
  assert.deepEqual([masterName, database, password, sentinelPassword], ['main', 2, 'pw', 'other']);
  assert.equal(source?.place.list, 'queue');
});

test('it is no address to bind, its topic exists, and the URL may come from the environment', () => {
  const config = load(
    { listen: ['http://127.0.0.1:1', 'env:QUEUE'], consumers: { out: { topic: 't', to: 'env:OUT' } } },
    { QUEUE: 'redis-list://:pw@h/q?topic=from_list', OUT: 'redis-list://:pw@h/out' },
  );
  assert.deepEqual(
    config.listen.map(({ url }) => url),
    ['http://127.0.0.1:1'],
  );
  assert.ok(config.topics.some(({ name }) => name === 'from_list'));
  const target = config.consumers[0]?.target;
  assert.equal(target?.kind === 'redis-list' && target.place.list, 'out');
});

test('what is wrong is told, and a password never', () => {
  const wrong: readonly (readonly [ListenInput, RegExp])[] = [
    ['redis-list://:hunter2@h', /no URL of a Redis list/],
    ['redis-list://:hunter2@h/1/2/q', /no URL of a Redis list/],
    ['redis-list://me:hunter2/x@h/q', /no URL of a Redis list/],
    ['redis-list://me:77/hunter2@h', /no URL of a Redis list/],
    ['redis-list://me:77/x?hunter2@h/q', /no URL of a Redis list/],
    ['redis-list://hunter2@h/q', /no URL of a Redis list/],
    ['redis-list+sentinel://:hunter2@h/q', /no URL of a Redis list/],
    ['redis-list+cluster://:hunter2@h/q', /no URL of a Redis list/],
    ['redis-list://:hunter2@h:99999/q', /no valid address/],
    ['redis-list://:hunter2@h,i/q', /no valid address/],
    ['redis-list://:hunter2@h/q?topik=a', /does not know: topik; did you mean topic/],
    ['redis-list://:hunter2@h/q?topic=a/b', /topic that is not valid/],
    ['redis-list://:hunter2@h/q?from=top', /from=top/],
    ['redis-list://:hunter2@h/q?takers=0', /takers=0/],
    [{ url: 'redis-list://:hunter2@h/q', insecure: true }, /has insecure/],
    ['env:NOT_THERE', /not set/],
  ];
  for (const [listen, expected] of wrong) {
    const { problems, text } = problemsOf({ listen: [listen] });
    assert.match(problems[0]?.problem ?? '', expected);
    assert.doesNotMatch(text, /hunter2/);
  }
  const target = problemsOf({ consumers: { out: { topic: 't', to: 'redis-list://:hunter2@h' } } });
  assert.match(target.text, /no URL of a Redis list/);
  assert.doesNotMatch(target.text, /hunter2/);
  const twice = problemsOf({ listen: ['redis-list://h/q?topic=a', 'redis-list://h:6379/q?topic=b'] });
  assert.match(twice.text, /takes from the list of listen\[0\]/);
  assert.match(problemsOf({ listen: ['http://127.0.0.1:1', 'rediss-list:h'] }).text, /no URL of a Redis list/);
});
