/** Reads listener URLs: `tcp://host:port?topic=T&framing=line&ack=offset&tls=CERT,KEY&proxy=on`, `udp://…`, `http://…`. */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { TOPIC_NAME_PATTERN } from '../core/record.ts';
import { closest, shown } from './problems.ts';
import { type AdminInput, DEFAULT_TOPIC, DEFAULT_TRUSTED_PROXIES, type ListenInput } from './schema.ts';
import type { AdminConfig, AgentCheckConfig, HttpListenConfig, ListenConfig, TlsConfig } from './tandem-config.ts';

/** Tells one problem of this listener. */
type Report = (problem: string, accepted: string) => void;

type Protocol = ListenConfig['protocol'];

const PARAMETERS: { readonly [P in Protocol]: readonly string[] } = {
  tcp: ['topic', 'framing', 'ack', 'tls', 'proxy'],
  udp: ['topic', 'ack', 'proxy'],
  http: ['tls', 'proxy'],
};
const FORMS = 'tcp://HOST:PORT?topic=T, udp://HOST:PORT?topic=T, http://HOST:PORT or redis-list://HOST/LIST?topic=T';
const PORT_MAX = 65_535;

export interface ReadListener {
  readonly config: ListenConfig;
  /** `insecure: true` was said. */
  readonly isInsecure: boolean;
}

/** undefined: it could not be read at all (what is wrong was reported). */
export function readListener(input: ListenInput, folder: string, report: Report): ReadListener | undefined {
  const { url, tls, insecure, trustedProxies } = typeof input === 'string' ? { url: input } : input;
  const parts = splitUrl(url, report);
  if (parts === undefined) return undefined;
  const { protocol, host, port, query } = parts;
  checkParameters(protocol, query, report);
  const trusted = readTrusted(oneOf(query, 'proxy', ['off', 'on'], report) === 'on', trustedProxies, report);
  const address = { url: shortUrl(parts), host, port, trustedProxies: trusted };
  const given = tls === undefined ? query.get('tls') : [tls.cert, tls.key].join(',');
  const config = make(protocol, address, query, readTls(given, folder, report), report);
  if (config.protocol === 'udp' && tls !== undefined) report('has tls, which UDP cannot have', 'leave tls out');
  return { config, isInsecure: insecure ?? false };
}

/** The admin address: as a listener, HTTP only, and the agent-check's. */
export function readAdmin(
  input: AdminInput,
  folder: string,
  report: Report,
): { readonly config: Omit<AdminConfig, 'isDefault'>; readonly isInsecure: boolean } | undefined {
  const { agentCheck: agentText, ...listener } = typeof input === 'string' ? { url: input } : input;
  const agentCheck = agentText === undefined ? null : readAgentCheck(agentText, report);
  const read = readListener(listener, folder, report);
  if (read === undefined) return undefined;
  if (read.config.protocol !== 'http') {
    report(`is not an http URL: ${shown(read.config.url)}`, 'http://HOST:PORT');
    return undefined;
  }
  const { url, host, port, tls, trustedProxies }: HttpListenConfig = read.config;
  if (trustedProxies !== null) report('says proxy=on, which only listeners have', 'leave it out');
  return { config: { url, host, port, tls, agentCheck }, isInsecure: read.isInsecure };
}

function readAgentCheck(text: string, report: Report): AgentCheckConfig | null {
  const [, host = '', port = ''] = /^(\[[0-9a-fA-F:.]+\]|[^\s:/?#@[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (host === '' || Number(port) > PORT_MAX) {
    report(`has an agentCheck that is no address: ${shown(text)}`, 'HOST:PORT');
    return null;
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

interface UrlParts {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  readonly query: URLSearchParams;
}

function splitUrl(url: string, report: Report): UrlParts | undefined {
  const match = /^([a-z]+):\/\/(\[[0-9a-fA-F:.]+\]|[^\s:/?#@[\]]+):(\d{1,5})\/?(?:\?([^#]*))?$/.exec(url);
  if (match === null) {
    report(`is not a listener URL: ${shown(url)}`, FORMS);
    return undefined;
  }
  const [, protocol = '', host = '', portText = '', queryText = ''] = match;
  if (!isProtocol(protocol)) {
    const hint = protocol === 'https' ? ' (http with tls=CERT,KEY is HTTPS)' : '';
    report(`has a protocol that this version does not have: ${protocol}${hint}`, FORMS);
    return undefined;
  }
  const port = Number(portText);
  if (port > PORT_MAX) {
    report(`has no valid port: ${portText}`, `a port from 0 (any) to ${PORT_MAX}`);
    return undefined;
  }
  return { protocol, host: host.replace(/^\[|\]$/g, ''), port, query: new URLSearchParams(queryText) };
}

const isProtocol = (text: string): text is Protocol => Object.hasOwn(PARAMETERS, text);

/** Without the key files, which are nobody's business in a log. */
function shortUrl({ protocol, host, port, query }: UrlParts): string {
  const topic = query.get('topic');
  const address = `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return topic === null ? address : `${address}?topic=${topic}`;
}

function checkParameters(protocol: Protocol, query: URLSearchParams, report: Report): void {
  const known = PARAMETERS[protocol];
  for (const name of new Set(query.keys())) {
    if (known.includes(name)) {
      if (query.getAll(name).length > 1) report(`says ${name}= more than once`, 'once');
    } else {
      const meant = closest(name, known);
      report(
        `has a parameter that ${protocol} does not know: ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}`,
        known.join(', '),
      );
    }
  }
}

/** null: without the PROXY protocol. */
function readTrusted(
  isProxied: boolean,
  given: readonly string[] | undefined,
  report: Report,
): readonly string[] | null {
  if (!isProxied) {
    if (given !== undefined) report('has trustedProxies without proxy=on', 'proxy=on in the URL');
    return null;
  }
  const trusted = given ?? DEFAULT_TRUSTED_PROXIES;
  if (trusted.length === 0) report('has empty trustedProxies, so nobody could connect', 'an address or range');
  for (const range of trusted)
    if (!isRange(range))
      report(`has trustedProxies with ${shown(range)}`, 'addresses and ranges: 10.0.0.7, 10.0.0.0/8, fd00::/8');
  return trusted;
}

function isRange(text: string): boolean {
  const [, address = '', bits = '0'] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}

function make(
  protocol: Protocol,
  address: { url: string; host: string; port: number; trustedProxies: readonly string[] | null },
  query: URLSearchParams,
  tls: TlsConfig | null,
  report: Report,
): ListenConfig {
  if (protocol === 'http') return { protocol, ...address, tls };
  const topic = query.get('topic') ?? DEFAULT_TOPIC;
  if (!TOPIC_NAME_PATTERN.test(topic)) report(`names a topic that is not valid: ${shown(topic)}`, 'a topic name');
  if (protocol === 'udp') return { protocol, ...address, topic, ack: oneOf(query, 'ack', ['none', 'offset'], report) };
  return {
    protocol,
    ...address,
    topic,
    framing: oneOf(query, 'framing', ['line', 'length'], report),
    ack: oneOf(query, 'ack', ['offset', 'none'], report),
    tls,
  };
}

/** The first of `values` is the default. */
function oneOf<const T extends string>(
  query: URLSearchParams,
  name: string,
  values: readonly [T, ...T[]],
  report: Report,
): T {
  const text = query.get(name);
  if (text === null) return values[0];
  const value = values.find((each) => each === text);
  if (value === undefined) report(`says ${name}=${text}`, values.map((each) => `${name}=${each}`).join(' or '));
  return value ?? values[0];
}

function readTls(text: string | null, folder: string, report: Report): TlsConfig | null {
  if (text === null) return null;
  const [cert, key, ...rest] = text.split(',');
  if (cert === undefined || cert === '' || key === undefined || key === '' || rest.length > 0) {
    report('has tls without two files', 'tls=CERT,KEY: two PEM files');
    return null;
  }
  return { certPath: resolve(folder, cert), keyPath: resolve(folder, key) };
}
