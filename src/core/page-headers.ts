/** Response headers for a page that stands in one file: its own scripts and styles run, nothing else does, and nobody frames it. */
import { createHash } from 'node:crypto';

const INLINE = /<(script|style)>([\s\S]*?)<\/\1>/g;

export function pageHeaders(html: string): { readonly [name: string]: string } {
  const hashes: { readonly [tag: string]: string[] } = { script: [], style: [] };
  for (const [, tag = '', text = ''] of html.matchAll(INLINE))
    hashes[tag]?.push(`'sha256-${createHash('sha256').update(text).digest('base64')}'`);
  const policy = [
    "default-src 'none'",
    `script-src ${hashes['script']?.join(' ')}`,
    `style-src ${hashes['style']?.join(' ')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    'Content-Security-Policy': policy.join('; '),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
  };
}
