/**
 * Keeps web pages of other origins from using a listener through the browser of somebody who can reach it (cross-site WebSockets, simple
 * POSTs, DNS rebinding). Only browsers send what is looked at here; other clients pass, except under a wrong Host on loopback.
 *
 * - `Origin` is sent: it must be the listener's own (equal to Host; https if the listener has TLS) or allowed. `null` is nobody's own.
 * - No `Origin`, no tokens: `Sec-Fetch-Site` must not tell of another site (images, scripts, frames, links to data).
 * - Bound to loopback, no tokens: Host must name loopback or an allowed origin's host. Otherwise a page whose name was pointed at 127.0.0.1
 *   would be of the same origin. With tokens such a page has none; on other addresses only the operator knows the names.
 *
 * `Host` decides what is "own" and not the bound address, since proxies and containers give a listener other names and ports.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { TandemError } from './errors.ts';
import { isLoopback } from './loopback.ts';

export interface OriginRules {
  /** What the listener is bound to, without brackets. */
  readonly host: string;
  readonly isTls: boolean;
  readonly isAuthRequired: boolean;
  /** `scheme://host[:port]` in lower case without default port, as browsers send it; `*` is any. */
  readonly allowedOrigins: readonly string[];
}

export interface OriginGuard {
  /** An allowed origin that is not the listener's own: the answer needs CORS headers. undefined: none. Errors: TANDEM_ORIGIN_FORBIDDEN. */
  admit(headers: IncomingHttpHeaders): string | undefined;
}

export function createOriginGuard(rules: OriginRules): OriginGuard {
  return new RuledGuard(rules);
}

const NAMES_OF_LOOPBACK = 'localhost, 127.0.0.1, [::1]';
/** In a message. */
const SHOWN_CHARS_MAX = 100;

class RuledGuard implements OriginGuard {
  readonly #rules: OriginRules;
  readonly #allowed: ReadonlySet<string>;
  /** undefined: any host will do. */
  readonly #hosts: ReadonlySet<string> | undefined;
  /** The latest that was let in: almost all requests name the same one. */
  #knownHost: string | undefined;

  constructor(rules: OriginRules) {
    this.#rules = rules;
    this.#allowed = new Set(rules.allowedOrigins);
    const isChecked = isLoopback(rules.host) && !rules.isAuthRequired;
    this.#hosts = isChecked ? new Set(rules.allowedOrigins.map((origin) => nameIn(authorityOf(origin)))) : undefined;
  }

  admit(headers: IncomingHttpHeaders): string | undefined {
    const { host, origin } = headers;
    if (host !== this.#knownHost) {
      this.#checkHost(host);
      this.#knownHost = host;
    }
    if (origin !== undefined) return this.#admitOrigin(origin, host);
    if (!this.#rules.isAuthRequired) checkSite(headers['sec-fetch-site']);
    return undefined;
  }

  /** HTTP/1.0 needs none; no browser speaks it. */
  #checkHost(host: string | undefined): void {
    if (host === undefined || this.#hosts === undefined) return;
    const name = nameIn(host.toLowerCase());
    if (isLoopback(name) || this.#hosts.has(name)) return;
    throw forbidden(`the Host is ${shown(host)}; on loopback without tokens it must be one of ${NAMES_OF_LOOPBACK}`);
  }

  #admitOrigin(origin: string, host: string | undefined): string | undefined {
    const isSchemeRight = !this.#rules.isTls || origin.startsWith('https://');
    const authority = authorityOf(origin);
    if (authority !== '' && authority === host?.toLowerCase() && isSchemeRight) return undefined;
    if (this.#allowed.has(origin) || this.#allowed.has('*')) return origin;
    throw forbidden(shown(origin));
  }
}

function checkSite(site: string | string[] | undefined): void {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw forbidden('a request from another site');
}

/** `host[:port]`; '' for `null` and what is no origin. */
function authorityOf(origin: string): string {
  const start = origin.indexOf('://');
  return start === -1 ? '' : origin.slice(start + '://'.length).toLowerCase();
}

/** Without port and brackets. */
function nameIn(authority: string): string {
  return authority.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
}

const shown = (text: string): string => JSON.stringify(text.slice(0, SHOWN_CHARS_MAX));
const forbidden = (detail: string): TandemError => new TandemError('TANDEM_ORIGIN_FORBIDDEN', { detail });
