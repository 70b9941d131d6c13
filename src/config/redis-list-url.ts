/**
 * Reads URLs of Redis lists, to take from (`listen`) and to append to (`consumers.*.to`):
 *
 *   redis-list://[user:password@]host[:port][/database]/list
 *   redis-list+sentinel://[user:password@]host[:port],host[:port]…/master-name[/database]/list      ports default to 26379
 *
 * `rediss-list` instead of `redis-list`: TLS, to the Sentinels too. In the query, for Sentinels with credentials of their own: `sentinelUser=`,
 * `sentinelPassword=`. Users, passwords, names are percent-encoded where they hold one of `@/?#%`.
 */
import type { RedisEndpoint } from '../core/ports/redis-connection.ts';
import { closest } from './problems.ts';
import type { RedisListConfig } from './tandem-config.ts';

type Report = (problem: string, accepted: string) => void;

const SENTINEL_PARAMETERS = ['sentinelUser', 'sentinelPassword'];
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
const PORT_MAX = 65_535;
const FORM = 'redis-list://[USER:PASSWORD@]HOST[:PORT][/DATABASE]/LIST';
const SENTINEL_FORM = 'redis-list+sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER-NAME[/DATABASE]/LIST';

export const isRedisListUrl = (url: string): boolean => /^rediss?-list(\+[a-z]+)?:/.test(url);

export interface ReadRedisList {
  readonly place: RedisListConfig;
  readonly query: URLSearchParams;
}

/** `parameters`: what else the query may say. undefined: it could not be read (what is wrong was reported, never with the password). */
export function readRedisListUrl(
  url: string,
  parameters: readonly string[],
  report: Report,
): ReadRedisList | undefined {
  // A "@" behind the servers: the password holds a "/" or "?", and nothing of it may be taken for a list or a parameter, which are shown.
  const match = /^(rediss?)-list(\+sentinel)?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/([^?#@]+?)\/?(?:\?([^#@]*))?$/.exec(url);
  if (match === null) {
    report(
      'is no URL of a Redis list',
      `${FORM} or ${SENTINEL_FORM}, each of / ? # @ % in a password as %2F %3F %23 %40 %25`,
    );
    return undefined;
  }
  const [, scheme = '', sentinel = '', user, hosts = '', pathText = '', queryText = ''] = match;
  const isSentinel = sentinel !== '';
  const path = pathText.split('/').map(decoded);
  const userInfo = userInfoOf(user);
  const servers = hosts.split(',').map((host) => serverOf(host, isSentinel ? SENTINEL_PORT : REDIS_PORT));
  const masterName = isSentinel ? path.shift() : null;
  const list = path.pop();
  const [databaseText = '0', ...rest] = path;
  const isWhole = rest.length === 0 && list !== undefined && list !== '' && masterName !== undefined;
  if (!isWhole || userInfo === undefined || !/^\d{1,5}$/.test(databaseText)) {
    report('is no URL of a Redis list', isSentinel ? SENTINEL_FORM : FORM);
    return undefined;
  }
  if (servers.includes(undefined) || (!isSentinel && servers.length > 1)) {
    report('has no valid address of a server', `${isSentinel ? 'HOST[:PORT],…' : 'HOST[:PORT]'}, ports from 1`);
    return undefined;
  }
  const query = new URLSearchParams(queryText);
  checkQuery(query, [...parameters, ...(isSentinel ? SENTINEL_PARAMETERS : [])], report);
  const endpoint: RedisEndpoint = {
    servers: servers as RedisEndpoint['servers'],
    masterName,
    database: Number(databaseText),
    isTls: scheme === 'rediss',
    ...userInfo,
    sentinelUsername: query.get('sentinelUser'),
    sentinelPassword: query.get('sentinelPassword'),
  };
  return { place: { url: shownUrl(`${scheme}-list${sentinel}`, hosts, pathText), endpoint, list }, query };
}

const shownUrl = (scheme: string, hosts: string, path: string): string => `${scheme}://${hosts}/${path}`;

function checkQuery(query: URLSearchParams, known: readonly string[], report: Report): void {
  for (const name of new Set(query.keys())) {
    if (known.includes(name)) {
      if (query.getAll(name).length > 1) report(`says ${name}= more than once`, 'once');
      continue;
    }
    const meant = closest(name, known);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    report(`has a parameter that a Redis list does not know: ${name}${hint}`, known.join(', ') || 'none');
  }
}

function serverOf(text: string, defaultPort: number): RedisEndpoint['servers'][number] | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  return host === undefined || port < 1 || port > PORT_MAX ? undefined : { host, port };
}

/** undefined: not valid. */
function userInfoOf(text: string | undefined): Pick<RedisEndpoint, 'username' | 'password'> | undefined {
  if (text === undefined) return { username: null, password: null };
  const colon = text.indexOf(':');
  const password = colon === -1 ? undefined : decoded(text.slice(colon + 1));
  if (password === undefined || password === '') return undefined;
  const username = decoded(text.slice(0, colon));
  return { username: username === '' || username === undefined ? null : username, password };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
