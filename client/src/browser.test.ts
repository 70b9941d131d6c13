/** The built package in a real browser, from a page of its own origin, before a real node that is killed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { NO_CHROMIUM, openBrowser } from '../../chaos/browser.fixture.ts';
import { NodeUnderTest } from '../../chaos/node-under-test.ts';
import { until } from '../../src/core/testing/until.ts';

const CLIENT = fileURLToPath(new URL('..', import.meta.url));
const TSC = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url));
const MODULE = /^\/[a-z-]+\.js$/;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-client-browser-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 }));
  return folder;
}

/** Serves the modules as they are built, and a page. The origin. */
async function serveModules(t: TestContext, folder: string): Promise<string> {
  execFileSync(TSC, ['-p', 'tsconfig.build.json', '--outDir', folder], { cwd: CLIENT });
  const server = createServer(({ url = '' }, response) => {
    const isModule = MODULE.test(url);
    response.writeHead(200, { 'Content-Type': isModule ? 'text/javascript' : 'text/html' });
    response.end(isModule ? readFileSync(join(folder, url)) : '<!doctype html><title>a page</title>');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Runs in the page: a client that publishes what it is told and keeps what it gets. */
const begin = (address: string, token: string): string => `(async () => {
  const { connect } = await import('/index.js');
  const client = connect({ addresses: ['ws://127.0.0.1:1', '${address}'], token: '${token}', producer: 'page', timeoutMs: 2000 });
  const page = { client, seen: [], gaps: [], failures: [], receipts: [] };
  client.subscribe('data_queue', {
    from: 'start',
    onRecord: ({ partition, offset, data }) => page.seen.push([partition, offset, typeof data === 'string' ? data : [...data]]),
    onGap: (gap) => page.gaps.push(gap),
  }).closed.catch((error) => page.failures.push(error.code));
  page.publish = (data) => client.publish('data_queue', data).then(
    (receipt) => page.receipts.push(receipt),
    (error) => page.failures.push(error.code));
  globalThis.page = page;
})()`;

interface Shown {
  readonly seen: [number, number, string | number[]][];
  readonly gaps: unknown[];
  readonly failures: string[];
  readonly receipts: { term: number; isDuplicate: boolean }[];
}

const shown = async (page: Page): Promise<Shown> =>
  (await page.evaluate(
    '(({ seen, gaps, failures, receipts }) => ({ seen, gaps, failures, receipts }))(page)',
  )) as Shown;

test('a page publishes and follows, over the death of the node', { skip: NO_CHROMIUM, timeout: 120_000 }, async (t) => {
  const origin = await serveModules(t, folderOf(t));
  const token = 's3cret';
  const auth = `auth: { allowedOrigins: ['${origin}'], tokens: [{ name: p, token: ${token}, publish: ["*"], subscribe: ["*"] }] }\n`;
  const node = await NodeUnderTest.create(folderOf(t), 1, auth);
  t.after(() => node.killAll());
  await node.start();
  const page = await (await openBrowser(t)).newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(origin);
  const address = `ws://127.0.0.1:${node.ports.http}`;
  await page.evaluate(begin(address, token));
  const publish = (from: number, to: number): Promise<unknown> =>
    page.evaluate(`for (let i = ${from}; i < ${to}; i++) page.publish('record ' + i); undefined`);
  await page.evaluate('page.publish(Uint8Array.of(0, 255)); undefined');
  await publish(0, 500);
  await until('the first are there', async () => (await shown(page)).seen.length > 100);
  await publish(500, 1000);
  await node.killAll();
  await publish(1000, 1500);
  await node.start();
  await publish(1500, 2000);
  await until(
    'all are acknowledged and seen',
    async () => {
      const { seen, receipts } = await shown(page);
      return receipts.length === 2001 && seen.length === 2001;
    },
    60_000,
  );
  const { seen, gaps, failures, receipts } = await shown(page);
  assert.deepEqual([gaps, failures, complaints], [[], [], []]);
  assert.deepEqual(seen[0], [0, 0, [0, 255]]);
  assert.deepEqual(
    seen.slice(1),
    Array.from({ length: 2000 }, (_, i) => [0, i + 1, `record ${i}`]),
  );
  assert.ok((receipts.at(-1)?.term ?? 0) > (receipts[0]?.term ?? 0), 'the second life has a newer term');
  await page.evaluate('page.client.close()');

  await page.evaluate(begin(address, 'wrong'));
  await until('the page is told that the token is wrong', async () => (await shown(page)).failures.length > 0);
  assert.deepEqual((await shown(page)).failures, ['TANDEM_AUTH_INVALID']);
});
