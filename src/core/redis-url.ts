/**
 * Where the servers are, as one URL:
 *
 *   redis://[user:password@]host[:port][/database]
 *   redis+sentinel://[user:password@]host[:port],host[:port].../master-name[/database]     ports default to 26379
 *   redis+cluster://[user:password@]host[:port],host[:port]...
 *
 * `rediss` instead of `redis`, or `tls=true` in the query: TLS. `prefix=` in the query: what all keys begin with (default `tandem`).
 * Sentinels' own credentials: `sentinelUser=`, `sentinelPassword=`. User and password belong to the servers that hold the data.
 */
import { TandemError } from './errors.ts';

export type RedisKind = 'standalone' | 'sentinel' | 'cluster';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

export interface RedisCredentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface ParsedRedisUrl {
  readonly kind: RedisKind;
  /** The server, the Sentinels, or some nodes of the cluster. */
  readonly addresses: readonly RedisAddress[];
  /** Of Sentinel. */
  readonly masterName: string | undefined;
  readonly database: number;
  readonly isTls: boolean;
  readonly credentials: RedisCredentials;
  readonly sentinelCredentials: RedisCredentials;
  /** What all keys begin with. */
  readonly prefix: string;
  /** Without secrets: for logs and reports. */
  readonly displayUrl: string;
}

const SCHEMES: { readonly [scheme: string]: RedisKind } = {
  redis: 'standalone',
  'redis+sentinel': 'sentinel',
  'redis+cluster': 'cluster',
};
const DEFAULT_PORTS: { readonly [kind in RedisKind]: number } = { standalone: 6379, sentinel: 26379, cluster: 6379 };
const DEFAULT_PREFIX = 'tandem';
const KNOWN_OPTIONS = ['prefix', 'tls', 'sentinelUser', 'sentinelPassword'];
const PREFIX = /^[A-Za-z0-9_.-]{1,64}$/;

/** Throws TANDEM_CONFIG_INVALID with what is wrong and what would be accepted; never with the password. */
export function parseRedisUrl(text: string): ParsedRedisUrl {
  // A "@" behind the servers: the password holds a "/" or "?", and what is in front of it is no host to be shown.
  const match = /^([a-z+]+):\/\/(?:([^@/?#]*)@)?([^/?#@]*)(\/[^?#@]*)?(?:\?([^#@]*))?$/.exec(text);
  if (match === null)
    throw invalid(
      'not a Redis URL, which is redis://[user:password@]host:port; "/", "?", "#", "@", "%" in a password are written %2F %3F %23 %40 %25',
    );
  const [, scheme = '', userInfo, hosts = '', path = '', query = ''] = match;
  const kind = SCHEMES[scheme.replace(/^rediss/, 'redis')];
  if (kind === undefined)
    throw invalid(`the scheme is one of redis, rediss, redis+sentinel, redis+cluster (or rediss+...), not "${scheme}"`);
  const addresses = hosts.split(',').map((host) => parseAddress(host, DEFAULT_PORTS[kind]));
  if (kind === 'standalone' && addresses.length > 1)
    throw invalid(
      'redis:// names one server; several are redis+sentinel://h1,h2,h3/master-name or redis+cluster://h1,h2,h3',
    );
  const options = parseOptions(query, kind);
  const { masterName, database } = parsePath(path, kind);
  const isTls = scheme.startsWith('rediss') || options.get('tls') === 'true';
  const prefix = options.get('prefix') ?? DEFAULT_PREFIX;
  if (!PREFIX.test(prefix)) throw invalid('prefix= is 1 to 64 letters, digits, "_", ".", "-"');
  const hostList = addresses.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  const name = masterName === undefined ? '' : `/${encodeURIComponent(masterName)}`;
  const base = kind === 'standalone' ? '' : `+${kind}`;
  return {
    kind,
    addresses,
    masterName,
    database,
    isTls,
    credentials: parseUserInfo(userInfo),
    sentinelCredentials: { username: options.get('sentinelUser'), password: options.get('sentinelPassword') },
    prefix,
    displayUrl: `${isTls ? 'rediss' : 'redis'}${base}://${hostList}${name}${database === 0 ? '' : `/${database}`}`,
  };
}

function parseAddress(text: string, defaultPort: number): RedisAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535)
    throw invalid(`"${text}" is not host or host:port (an IPv6 address stands in brackets, a port is 1 to 65535)`);
  return { host, port };
}

function parseUserInfo(text: string | undefined): RedisCredentials {
  if (text === undefined) return { username: undefined, password: undefined };
  const colon = text.indexOf(':');
  const username = decode(colon === -1 ? text : text.slice(0, colon));
  const password = colon === -1 ? '' : decode(text.slice(colon + 1));
  if (password === '') throw invalid('a user without a password; a password alone is written redis://:password@host');
  return { username: username === '' ? undefined : username, password };
}

function parsePath(path: string, kind: RedisKind): { masterName: string | undefined; database: number } {
  const parts = path
    .split('/')
    .slice(1)
    .filter((part) => part !== '');
  const masterName = kind === 'sentinel' ? parts.shift() : undefined;
  if (kind === 'sentinel' && masterName === undefined)
    throw invalid('the name of the master is missing: redis+sentinel://h1,h2,h3/master-name');
  const [databaseText, ...rest] = parts;
  if (rest.length > 0 || (databaseText !== undefined && !/^\d{1,5}$/.test(databaseText)))
    throw invalid(`"${path}" is not ${kind === 'sentinel' ? '/master-name[/database]' : '/database, a number'}`);
  if (kind === 'cluster' && databaseText !== undefined) throw invalid('a cluster has no databases');
  return { masterName: masterName === undefined ? undefined : decode(masterName), database: Number(databaseText ?? 0) };
}

function parseOptions(query: string, kind: RedisKind): ReadonlyMap<string, string> {
  const options = new Map(new URLSearchParams(query));
  for (const name of options.keys()) {
    const isKnown = KNOWN_OPTIONS.includes(name) && (kind === 'sentinel' || !name.startsWith('sentinel'));
    if (!isKnown)
      throw invalid(`unknown option "${name}"; there are ${KNOWN_OPTIONS.join(', ')} (the last two for Sentinel)`);
  }
  if (!['true', 'false', undefined].includes(options.get('tls'))) throw invalid('tls= is true or false');
  return options;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a "%" in user, password or master name is written %25');
  }
}

const invalid = (detail: string): TandemError =>
  new TandemError('TANDEM_CONFIG_INVALID', { detail: `Redis URL: ${detail}` });
