/** Reads listener URLs: `tcp://host:port?topic=T&framing=line&ack=offset&tls=CERT,KEY`, `udp://…`, `http://…`. */
import { resolve } from 'node:path';
import { TOPIC_NAME_PATTERN } from '../core/record.ts';
import { closest, shown } from './problems.ts';
import { DEFAULT_TOPIC, type ListenInput } from './schema.ts';
import type { AdminConfig, HttpListenConfig, ListenConfig, TlsConfig } from './tandem-config.ts';

/** Tells one problem of this listener. */
type Report = (problem: string, accepted: string) => void;

type Protocol = ListenConfig['protocol'];

const PARAMETERS: { readonly [P in Protocol]: readonly string[] } = {
  tcp: ['topic', 'framing', 'ack', 'tls'],
  udp: ['topic', 'ack'],
  http: ['tls'],
};
const FORMS = 'tcp://HOST:PORT?topic=T, udp://HOST:PORT?topic=T or http://HOST:PORT';
const PORT_MAX = 65_535;

export interface ReadListener {
  readonly config: ListenConfig;
  /** `insecure: true` was said. */
  readonly isInsecure: boolean;
}

/** undefined: it could not be read at all (what is wrong was reported). */
export function readListener(input: ListenInput, folder: string, report: Report): ReadListener | undefined {
  const { url, tls, insecure } = typeof input === 'string' ? { url: input } : input;
  const parts = splitUrl(url, report);
  if (parts === undefined) return undefined;
  const { protocol, host, port, query } = parts;
  checkParameters(protocol, query, report);
  const address = { url: shortUrl(parts), host, port };
  const given = tls === undefined ? query.get('tls') : [tls.cert, tls.key].join(',');
  const config = make(protocol, address, query, readTls(given, folder, report), report);
  if (config.protocol === 'udp' && tls !== undefined) report('has tls, which UDP cannot have', 'leave tls out');
  return { config, isInsecure: insecure ?? false };
}

/** The admin address: as a listener, HTTP only. */
export function readAdmin(
  input: ListenInput,
  folder: string,
  report: Report,
): { readonly config: Omit<AdminConfig, 'isDefault'>; readonly isInsecure: boolean } | undefined {
  const read = readListener(input, folder, report);
  if (read === undefined) return undefined;
  if (read.config.protocol !== 'http') {
    report(`is not an http URL: ${shown(read.config.url)}`, 'http://HOST:PORT');
    return undefined;
  }
  const { url, host, port, tls }: HttpListenConfig = read.config;
  return { config: { url, host, port, tls }, isInsecure: read.isInsecure };
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
    } else if (name === 'proxy') {
      report('says proxy=, which this version of Tandem does not have yet', 'leave it out');
    } else {
      const meant = closest(name, known);
      report(
        `has a parameter that ${protocol} does not know: ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}`,
        known.join(', '),
      );
    }
  }
}

function make(
  protocol: Protocol,
  address: { url: string; host: string; port: number },
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
