import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from './errors.ts';
import { parseRedisUrl } from './redis-url.ts';

test('one server, with all that a URL can say', () => {
  const url = parseRedisUrl('rediss://us%40er:p%2Fa%3As%20s@[::1]:7000/3?prefix=shop.a');
  assert.deepEqual(url, {
    kind: 'standalone',
    addresses: [{ host: '::1', port: 7000 }],
    masterName: undefined,
    database: 3,
    isTls: true,
    credentials: { username: 'us@er', password: 'p/a:s s' },
    sentinelCredentials: { username: undefined, password: undefined },
    prefix: 'shop.a',
    displayUrl: 'rediss://[::1]:7000/3',
  });
  const short = parseRedisUrl('redis://:secret@box');
  assert.deepEqual(short.addresses, [{ host: 'box', port: 6379 }]);
  assert.deepEqual(short.credentials, { username: undefined, password: 'secret' });
  assert.deepEqual([short.prefix, short.isTls, short.database], ['tandem', false, 0]);
});

test('Sentinels and cluster nodes', () => {
  const sentinel = parseRedisUrl('redis+sentinel://u:p@h1,h2:1,[::2]:3/my%20master/2?sentinelPassword=x%26y&tls=true');
  assert.equal(sentinel.kind, 'sentinel');
  assert.deepEqual(sentinel.addresses, [
    { host: 'h1', port: 26379 },
    { host: 'h2', port: 1 },
    { host: '::2', port: 3 },
  ]);
  assert.equal(sentinel.masterName, 'my master');
  assert.deepEqual([sentinel.database, sentinel.isTls, sentinel.sentinelCredentials.password], [2, true, 'x&y']);
  assert.equal(sentinel.displayUrl, 'rediss+sentinel://h1:26379,h2:1,[::2]:3/my%20master/2');
  const cluster = parseRedisUrl('rediss+cluster://h1:7001,h2');
  assert.deepEqual([cluster.kind, cluster.isTls, cluster.addresses.length], ['cluster', true, 2]);
});

test('what is wrong is said, what would be right too, the password never', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /not a Redis URL/],
    ['redis:secret', /not a Redis URL/],
    ['redis://u:sec@ret@box', /%40/],
    ['redis://user:secret/part@box', /"\/", "\?", "#", "@", "%" in a password are written %2F/],
    ['redis://user:7/secret@box', /%2F/],
    ['redis://user:secret?a=b@box', /%3F/],
    ['redis://user:7?secret@box', /%3F/],
    ['redis://user:a@b/secret@box', /%40/],
    ['redis+sentinel://user:7/secret@a,b/main', /%2F/],
    ['http://u:secret@box', /scheme is one of redis, rediss/],
    ['redissss://box', /scheme/],
    ['redis://', /"" is not host/],
    ['redis://box:0', /port is 1 to 65535/],
    ['redis://box:70000', /port is 1 to 65535/],
    ['redis://::1:6379', /brackets/],
    ['redis://a,b', /names one server/],
    ['redis://secret@box', /user without a password/],
    ['redis://:sec%ret@box', /%25/],
    ['redis://box/name', /database, a number/],
    ['redis+sentinel://a,b', /master-name/],
    ['redis+sentinel://a/m/x', /master-name\[\/database\]/],
    ['redis+cluster://a/1', /no databases/],
    ['redis+cluster://a,,b', /"" is not host/],
    ['redis://box?color=red', /unknown option "color"; there are prefix/],
    ['redis://box?sentinelPassword=secret', /for Sentinel/],
    ['redis://box?tls=maybe', /true or false/],
    ['redis://box?prefix=a%7Bb', /prefix=/],
  ];
  for (const [text, words] of refused)
    assert.throws(
      () => parseRedisUrl(text),
      (error) => {
        assert.ok(error instanceof TandemError && error.code === 'TANDEM_CONFIG_INVALID', text);
        assert.match(error.message, words, text);
        assert.doesNotMatch(error.message, /secret|sec@ret|sec%ret/, text);
        return true;
      },
    );
});
