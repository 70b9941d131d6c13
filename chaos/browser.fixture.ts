/** A real Chromium for tests, pages of other origins for it, and lines over TCP. All of it ends with the test. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';

const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** For `skip`; false: there is one. */
export const NO_CHROMIUM: string | false = existsSync(EXECUTABLE)
  ? false
  : `no Chromium at ${EXECUTABLE}: install the package chromium, or name one by CHROMIUM`;

const QUIET = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update'];

export async function openBrowser(t: TestContext): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-sync', ...QUIET];
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args });
  t.after(() => browser.close());
  return browser;
}

/** The origin of a server whose every page is empty. */
export async function serveEmptyPage(t: TestContext): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html', Connection: 'close' });
    response.end('<!doctype html><title>elsewhere</title>');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Publishes lines over TCP; resolves with their positions (`partition:offset`) when all are acknowledged. */
export async function publishLines(port: number, lines: readonly string[]): Promise<string[]> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${lines.join('\n')}\n`);
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) {
    text += chunk;
    if (text.split('\n').length > lines.length) break;
  }
  const answers = text.split('\n').slice(0, lines.length);
  const positions = answers.map((answer) => /^OK (\d+:\d+)$/.exec(answer)?.[1]);
  if (positions.includes(undefined)) throw new RangeError(`not acknowledged: ${text}`);
  return positions as string[];
}
