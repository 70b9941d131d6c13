/**
 * A real browser before a real node: the live page survives kill -9 of the whole node without losing or doubling a record, and pages of other
 * origins get nothing.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { until } from '../src/core/testing/until.ts';
import { NO_CHROMIUM, openBrowser, publishLines, serveEmptyPage } from './browser.fixture.ts';
import { NodeUnderTest } from './node-under-test.ts';

const OPTIONS = { skip: NO_CHROMIUM, timeout: 120_000 };
const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>';

async function startNode(t: TestContext, extraConfig = ''): Promise<NodeUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-browser-'));
  const node = await NodeUnderTest.create(folder, 2, extraConfig);
  t.after(async () => {
    await node.killAll();
    rmSync(folder, { recursive: true, force: true });
  });
  await node.start();
  return node;
}

interface ShownRecord {
  readonly position: string;
  readonly key: string;
  readonly data: string;
}

/** Oldest first; without the rows that are notes. */
const recordsOn = async (page: Page): Promise<ShownRecord[]> => {
  const rows = (await page.evaluate(
    "[...document.querySelectorAll('#records tr')].map((row) => [...row.cells].map((cell) => cell.textContent))",
  )) as string[][];
  return rows
    .filter((cells) => cells.length === 4)
    .map(([position = '', , key = '', data = '']) => ({ position, key, data }))
    .reverse();
};

async function untilShown(page: Page, count: number): Promise<ShownRecord[]> {
  await until(`${count} records are shown`, async () => (await recordsOn(page)).length >= count, 30_000);
  return recordsOn(page);
}

const stateOf = (page: Page): Promise<string> => page.innerText('#state');

test(
  'the live page shows records as they come, and goes on by itself after kill -9 of the node',
  OPTIONS,
  async (t) => {
    const node = await startNode(t);
    const page = await (await openBrowser(t)).newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) complaints.push(message.text());
    });
    await page.goto(`http://127.0.0.1:${node.ports.http}/`);
    await until('the page is live', async () => (await stateOf(page)) === 'live');
    const sent = [HOSTILE, ...Array.from({ length: 20 }, (_, i) => `before ${i}`)];
    const positions = await publishLines(node.ports.lines, sent);
    await untilShown(page, sent.length);

    await node.killAll();
    await until('the page has noticed', async () => (await stateOf(page)).startsWith('reconnecting'));
    await node.start();
    // Before and after the browser has come back.
    for (const line of ['after 0', 'after 1']) {
      sent.push(line);
      positions.push(...(await publishLines(node.ports.lines, [line])));
      await untilShown(page, sent.length);
    }
    await until('it says so', async () => /^live, resumed/.test(await stateOf(page)));
    assert.match(await page.innerText('#records'), /resumed after [\d.]+ s, nothing missed/);

    await page.fill('#key', 'a key');
    await page.fill('#data', 'from the page');
    await page.click('#publish button');
    const shown = await untilShown(page, sent.length + 1);
    const last = shown.at(-1) as ShownRecord;
    assert.deepEqual([last.key, last.data], ['a key', 'from the page']);
    await until(
      'the receipt is shown',
      async () => (await page.innerText('#receipt')) === `stored at ${last.position}`,
    );

    const expected = sent.map((data, i) => `${positions[i]} ${data}`).sort();
    const got = shown.slice(0, -1).map(({ position, data }) => `${position} ${data}`);
    assert.deepEqual(got.sort(), expected, 'nothing missing, nothing twice');
    assert.equal(await page.title(), 'Tandem live', 'no record became a part of the page');
    assert.deepEqual(complaints, []);
  },
);

/** What a page does to a node; each answer is a word. Runs in the browser. */
const attempts = (base: string, admin: string): string => `(async () => {
  const post = (headers, mode) => fetch('${base}/topics/data_queue', { method: 'POST', body: 'by a page', headers, mode });
  const outcome = (promise) => promise.then((answer) => String(answer.status), () => 'blocked');
  const opened = (source) => new Promise((resolve) => {
    source.onopen = () => resolve('open');
    source.onerror = () => resolve('blocked');
  });
  return {
    simplePost: await outcome(post({}, 'no-cors')),
    post: await outcome(post({ 'Tandem-Key': 'k' }, 'cors')),
    read: await outcome(fetch('${base}/topics/data_queue/records')),
    stream: await opened(new EventSource('${base}/topics/data_queue/stream?from=start')),
    webSocket: await opened(new WebSocket('${base.replace('http', 'ws')}/ws')),
    admin: await outcome(fetch('${admin}/admin/v1/status')),
  };
})()`;

test(
  'a page of another origin can neither publish, read, subscribe nor open a WebSocket; an allowed one can',
  OPTIONS,
  async (t) => {
    const [friend, stranger] = [await serveEmptyPage(t), await serveEmptyPage(t)];
    const node = await startNode(t, `auth: { allowedOrigins: ['${friend}'] }\n`);
    const base = `http://127.0.0.1:${node.ports.http}`;
    const script = attempts(base, `http://127.0.0.1:${node.ports.admin}`);
    const page = await (await openBrowser(t)).newPage();
    const stored = async (): Promise<string[]> => {
      const partitions = await Promise.all(
        [0, 1].map(async (partition) =>
          (await fetch(`${base}/topics/data_queue/records?partition=${partition}`)).text(),
        ),
      );
      return partitions.join('').split('\n').filter(Boolean);
    };

    await page.goto(stranger);
    const refused = { post: 'blocked', read: 'blocked', stream: 'blocked', webSocket: 'blocked', admin: 'blocked' };
    // Of a request without CORS a page learns nothing, not even that it was refused.
    assert.deepEqual(await page.evaluate(script), { simplePost: '0', ...refused });
    assert.deepEqual(await stored(), []);
    // The origin `null`.
    const framed = `new Promise((resolve) => {
    const frame = Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts' });
    frame.srcdoc = ${JSON.stringify('<script>ATTEMPTS.then((all) => parent.postMessage(all, "*"))</script>')}.replace('ATTEMPTS', () => ${JSON.stringify(script)});
    addEventListener('message', ({ data }) => resolve(data), { once: true });
    document.body.append(frame);
  })`;
    assert.deepEqual(await page.evaluate(framed), { simplePost: '0', ...refused });
    assert.deepEqual(await stored(), []);

    await page.goto(friend);
    const allowed = { post: '201', read: '200', stream: 'open', webSocket: 'open', admin: 'blocked' };
    assert.deepEqual(await page.evaluate(script), { simplePost: '0', ...allowed });
    assert.equal((await stored()).length, 2);
  },
);

test('with auth the page asks for a token, or takes it from its address and hides it', OPTIONS, async (t) => {
  const node = await startNode(
    t,
    'auth: { tokens: [{ name: all, token: "s3cret", publish: ["*"], subscribe: ["*"] }] }\n',
  );
  const base = `http://127.0.0.1:${node.ports.http}/`;
  const browser = await openBrowser(t);
  const asked = await browser.newPage();
  await asked.goto(base);
  await asked.fill('#token', 'wrong');
  await asked.click('#login button');
  await until('the wrong one is refused', async () => /not known/.test(await asked.innerText('#login-problem')));
  await asked.fill('#token', 's3cret');
  await asked.click('#login button');
  const told = await browser.newPage();
  await told.goto(`${base}?token=s3cret`);
  for (const page of [asked, told]) await until('the page is live', async () => (await stateOf(page)) === 'live');
  assert.equal(told.url(), `${base}#data_queue`);
  await told.fill('#data', 'hello');
  await told.click('#publish button');
  for (const page of [asked, told]) assert.equal((await untilShown(page, 1))[0]?.data, 'hello');
});
