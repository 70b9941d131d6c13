/** The library of functions: what changes in it, and what is said of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { missingRedis } from '../../../core/testing/redis-servers/installed.ts';
import { startRedis } from '../../../core/testing/redis-servers/start-redis.ts';
import { append, ensureTopic, openEngine, readTexts } from '../redis-engine.fixture.ts';
import { LIBRARY_CODE, LIBRARY_REVISION } from './library.ts';

const skip = missingRedis();
const functionsIn = (text: string): string[] => [
  ...new Set(Array.from(text.matchAll(/tandem1_(\w+)/g), ([, name = '']) => name)),
];
const registered = Array.from(LIBRARY_CODE.matchAll(/^register\('(\w+)'/gm), ([, name = '']) => name);

/** Of the code as it is under LIBRARY_REVISION. */
const DIGEST = '7ade084e7e9356d7';

test('whoever changes the code raises its revision, or servers keep the older one', () => {
  const digest = createHash('sha256').update(LIBRARY_CODE).digest('hex').slice(0, 16);
  assert.equal(
    digest,
    DIGEST,
    `after a release: raise LIBRARY_REVISION (${LIBRARY_REVISION}); then write ${digest} here`,
  );
});

test('the documents name functions that there are, and all of those of records, shards and topics', () => {
  const documented = functionsIn(readFileSync(new URL('../../../../docs/redis.md', import.meta.url), 'utf8'));
  assert.deepEqual(
    documented.filter((name) => !registered.includes(name)),
    [],
  );
  const others = /lease|group|commit|consumer/;
  assert.deepEqual(
    registered.filter((name) => !documented.includes(name) && !others.test(name)),
    [],
  );
});

test('a server with an earlier revision gets this one, a later one stays', { skip }, async (t) => {
  const { server, url } = await startRedis(t);
  const withRevision = (revision: number): string =>
    LIBRARY_CODE.replace(`return ${LIBRARY_REVISION} end`, `return ${revision} end`);
  const revision = (): Promise<unknown> => server.call('FCALL', 'tandem1_revision', '1', '{tandem}:shard');
  await server.call('FUNCTION', 'LOAD', withRevision(0));
  const engine = await openEngine(t, url);
  assert.equal(await revision(), LIBRARY_REVISION);
  await server.call('FUNCTION', 'LOAD', 'REPLACE', withRevision(LIBRARY_REVISION + 5));
  const other = await openEngine(t, url);
  await ensureTopic(other);
  await append(other, ['x']);
  assert.deepEqual(await readTexts(other), ['x']);
  assert.equal(await revision(), LIBRARY_REVISION + 5);
  await engine.close();
});
