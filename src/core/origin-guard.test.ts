import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { TandemError } from './errors.ts';
import { createOriginGuard, type OriginRules } from './origin-guard.ts';

const LOOPBACK: OriginRules = { host: '127.0.0.1', isTls: false, isAuthRequired: false, allowedOrigins: [] };

/** What `admit` says: the origin for CORS, `own`, or `refused`. */
function verdict(rules: Partial<OriginRules>, headers: IncomingHttpHeaders): string {
  try {
    return createOriginGuard({ ...LOOPBACK, ...rules }).admit({ host: '127.0.0.1:9500', ...headers }) ?? 'own';
  } catch (error) {
    assert.ok(error instanceof TandemError && error.code === 'TANDEM_ORIGIN_FORBIDDEN', String(error));
    assert.equal(error.httpStatus, 403);
    return 'refused';
  }
}

const APP = 'https://app.example';
const WITH_APP = { allowedOrigins: [APP] };
const WITH_TOKENS = { isAuthRequired: true };

test('clients that are no browsers pass: no Origin, under any name of loopback', () => {
  for (const host of ['127.0.0.1:9500', 'localhost:9500', 'LOCALHOST', '[::1]:9500', '127.8.8.8:1', undefined])
    assert.equal(verdict({}, { host }), 'own', host);
});

test('an origin must be the one that Host names, or allowed', () => {
  const same = { origin: 'http://127.0.0.1:9500' };
  assert.equal(verdict({}, same), 'own');
  assert.equal(verdict({}, { origin: 'http://LocalHost:9500', host: 'localhost:9500' }), 'own');
  for (const origin of [
    ...['http://evil.example', 'http://127.0.0.1', 'http://127.0.0.1:9501', 'http://localhost:9500', 'null', ''],
    ...['127.0.0.1:9500', 'http://127.0.0.1:9500.evil.example', `${same.origin}, http://evil.example`, `${APP}:444`],
  ])
    for (const rules of [{}, WITH_TOKENS, WITH_APP]) assert.equal(verdict(rules, { origin }), 'refused', origin);
  assert.equal(verdict({}, { origin: APP }), 'refused');
  assert.equal(verdict(WITH_APP, { origin: APP }), APP);
  assert.equal(
    verdict({ ...WITH_TOKENS, allowedOrigins: ['*'] }, { origin: 'http://any.example' }),
    'http://any.example',
  );
  assert.equal(verdict({ ...WITH_TOKENS, allowedOrigins: ['*'] }, { origin: 'null' }), 'null');
});

test('on TLS a page that came over plain HTTP is of another origin', () => {
  const rules = { isTls: true, host: '0.0.0.0' };
  assert.equal(verdict(rules, { host: 'n.example', origin: 'https://n.example' }), 'own');
  assert.equal(verdict(rules, { host: 'n.example', origin: 'http://n.example' }), 'refused');
});

test('a name that DNS could have pointed at loopback is refused, unless there are tokens or it is allowed', () => {
  const rebound = { host: 'evil.example:9500', origin: 'http://evil.example:9500' };
  for (const headers of [rebound, { host: rebound.host }, { host: '127.0.0.1.evil.example' }, { host: '' }])
    for (const host of ['127.0.0.1', 'localhost', '::1'])
      assert.equal(verdict({ host }, headers), 'refused', headers.host);
  assert.equal(verdict(WITH_TOKENS, rebound), 'own');
  assert.equal(verdict({ host: '0.0.0.0' }, rebound), 'own');
  assert.equal(verdict(WITH_APP, { host: 'app.example', origin: APP }), 'own');
  assert.equal(verdict(WITH_APP, { host: 'app.example:8443' }), 'own');
});

test('a host that was let in lets no other in after it', () => {
  const guard = createOriginGuard(LOOPBACK);
  guard.admit({ host: 'localhost:9500' });
  for (let i = 0; i < 2; i++) assert.throws(() => guard.admit({ host: 'evil.example' }), TandemError);
  guard.admit({ host: 'localhost:9500' });
});

test('without tokens, what another site makes a browser load without Origin is refused', () => {
  for (const site of ['cross-site', 'same-site']) {
    assert.equal(verdict({}, { 'sec-fetch-site': site }), 'refused');
    assert.equal(verdict(WITH_TOKENS, { 'sec-fetch-site': site }), 'own');
  }
  for (const site of ['same-origin', 'none']) assert.equal(verdict({}, { 'sec-fetch-site': site }), 'own');
});
