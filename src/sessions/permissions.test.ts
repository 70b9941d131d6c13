import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { TandemError } from '../core/errors.ts';
import { createAuthenticator, type TokenGrant } from './permissions.ts';

const grant = (name: string, token: string, rights: Partial<TokenGrant> = {}): TokenGrant => ({
  name,
  token,
  publish: [],
  subscribe: [],
  consume: [],
  admin: false,
  ...rights,
});

const withCode = (code: string) => (error: unknown) => error instanceof TandemError && error.code === code;

test('without tokens everybody may do everything', () => {
  const authenticator = createAuthenticator({ isRequired: false, tokens: [] });
  const identity = authenticator.authenticate(undefined);
  assert.equal(authenticator.isRequired, false);
  assert.equal(identity.name, 'anonymous');
  assert.ok(identity.may('publish', 'any') && identity.may('admin'));
  assert.equal(authenticator.authenticate('whatever').may('consume', 'any'), true);
});

test('a required token must be shown and known; "required" with no tokens lets nobody in', () => {
  const authenticator = createAuthenticator({ isRequired: true, tokens: [grant('a', 'secret-a')] });
  assert.throws(() => authenticator.authenticate(undefined), withCode('TANDEM_AUTH_REQUIRED'));
  for (const wrong of ['', 'secret', 'secret-a ', 'SECRET-A', 'secret-ab'])
    assert.throws(() => authenticator.authenticate(wrong), withCode('TANDEM_AUTH_INVALID'));
  assert.equal(authenticator.authenticate('secret-a').name, 'a');
  const closed = createAuthenticator({ isRequired: true, tokens: [] });
  assert.throws(() => closed.authenticate('x'), withCode('TANDEM_AUTH_INVALID'));
});

test('each token has its own rights, by exact name or prefix', () => {
  const tokens = [
    grant('in', 't1', { publish: ['orders', 'log.*'] }),
    grant('out', 't2', { subscribe: ['*'], consume: ['orders'] }),
    grant('ops', 't3', { admin: true }),
  ];
  const authenticator = createAuthenticator({ isRequired: true, tokens });
  const [producer, reader, operator] = ['t1', 't2', 't3'].map((token) => authenticator.authenticate(token));
  assert.ok(producer !== undefined && reader !== undefined && operator !== undefined);
  assert.equal(producer.may('publish', 'orders'), true);
  assert.equal(producer.may('publish', 'orders2'), false);
  assert.equal(producer.may('publish', 'log.a'), true);
  assert.equal(producer.may('publish', 'log'), false);
  assert.equal(producer.may('subscribe', 'orders'), false);
  assert.equal(producer.may('publish'), false);
  assert.equal(producer.may('admin'), false);
  assert.equal(reader.may('subscribe', 'anything'), true);
  assert.equal(reader.may('consume', 'orders'), true);
  assert.equal(reader.may('consume', 'anything'), false);
  assert.equal(operator.may('admin'), true);
  assert.equal(operator.may('publish', 'orders'), false);
});

test('a token shows in no error and no identity', () => {
  const authenticator = createAuthenticator({ isRequired: true, tokens: [grant('a', 'hush-1')] });
  const identity = authenticator.authenticate('hush-1');
  let refusal: unknown;
  try {
    authenticator.authenticate('hush-2');
  } catch (error) {
    refusal = error;
  }
  const shown =
    inspect([identity, authenticator, refusal], { depth: 9, showHidden: true }) + JSON.stringify([identity, refusal]);
  assert.ok(!shown.includes('hush'));
});
