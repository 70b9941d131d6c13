/**
 * `GET /`: a page that shows topics and their records as they arrive, for people. Static: it needs no token; what it asks for does. Its three
 * files stand beside this one (tools/build copies them) and are one document in memory, which loads nothing else.
 */
import { readFileSync } from 'node:fs';
import { pageHeaders } from '../../../core/page-headers.ts';
import type { HttpExchange } from '../http-exchange.ts';

const part = (name: string): string => readFileSync(new URL(`./page.${name}`, import.meta.url), 'utf8');

const DOCUMENT = part('html')
  .replace('<style></style>', () => `<style>${part('css')}</style>`)
  .replace('<script></script>', () => `<script>${part('js')}</script>`);
const BODY = Buffer.from(DOCUMENT);
const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Length': BODY.length,
  'Cache-Control': 'no-cache',
  ...pageHeaders(DOCUMENT),
};

export function livePage({ hub, request, response }: HttpExchange): void {
  response.writeHead(200, hub.isDraining ? { ...HEADERS, Connection: 'close' } : HEADERS);
  response.end(request.method === 'HEAD' ? undefined : BODY);
}
