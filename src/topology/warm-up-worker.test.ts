import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { loadConfig } from '../config/load.ts';
import { warmUpWorker } from './warm-up-worker.ts';

const config = loadConfig({ input: { auth: { tokens: [{ name: 'a', token: 'secret' }] } }, environment: {} });

test('the warm-up stores records over every kind of connection, whatever the config asks of clients, and leaves nothing behind', async () => {
  assert.equal(await warmUpWorker(config, new AbortController().signal), 20);
  assert.deepEqual(
    readdirSync(tmpdir()).filter((name) => name === `tandem-warm-up-${process.pid}.sock`),
    [],
  );
});

test('it stops when there are better things to do', async () => {
  assert.equal(await warmUpWorker(config, AbortSignal.abort()), 0);
});
