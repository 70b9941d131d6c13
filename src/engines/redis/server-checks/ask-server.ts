/** One connection to one server, for questions: short time limits, no second try, no answer ever taken from another server. */
import { createClient, RESP_TYPES } from '@redis/client';
import type { ParsedRedisUrl, RedisAddress, RedisCredentials } from '../../../core/redis-url.ts';
import type { RedisReply } from '../connections/redis-servers.ts';
import { parseInfo } from '../connections/server-facts.ts';
import { askRights, type MissingRights } from './rights.ts';
import type { Ask } from './server-check.ts';

const CONNECT_TIMEOUT_MS = 2000;
const SILENCE_TIMEOUT_MS = 3000;

export interface ServerAccess {
  readonly credentials: RedisCredentials;
  readonly isTls: boolean;
}

export interface DataServerFacts {
  /** `host:port`. */
  readonly server: string;
  readonly host: string;
  readonly isTls: boolean;
  /** INFO, all sections. */
  readonly info: ReadonlyMap<string, string>;
  /** CONFIG GET *; null: refused. */
  readonly settings: ReadonlyMap<string, string> | null;
  /** Whether the server answers somebody without credentials. */
  readonly isOpen: boolean;
  readonly missingRights: MissingRights;
}

export const serverText = ({ host, port }: RedisAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Connects, lets `question` ask, disconnects. Rejects with the server's or the system's own error. */
export async function askServer<T>(
  address: RedisAddress,
  { credentials, isTls }: ServerAccess,
  question: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { username, password } = credentials;
  const client = createClient({
    socket: {
      host: address.host,
      port: address.port,
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_TIMEOUT_MS,
      reconnectStrategy: false,
      ...(isTls ? { tls: true as const } : {}),
    },
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    RESP: 2,
    disableClientInfo: true,
    maintNotifications: 'disabled',
  });
  // Without a listener it would be thrown; what waits for an answer is rejected with it.
  client.on('error', () => {});
  await client.connect();
  try {
    return await question((...command) =>
      client.sendCommand<RedisReply>(command, { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }),
    );
  } finally {
    client.destroy();
  }
}

/** What a server that holds data says of itself. Rejects if it cannot be reached, refuses our credentials or INFO. */
export async function askDataServer(address: RedisAddress, url: ParsedRedisUrl): Promise<DataServerFacts> {
  const { isTls, credentials, prefix, kind } = url;
  const facts = await askServer(address, { credentials, isTls }, async (ask) => ({
    info: parseInfo(await ask('INFO')),
    settings: await ask('CONFIG', 'GET', '*').then(pairs, () => null),
    missingRights: await askRights(ask, prefix, kind),
  }));
  const isOpen = credentials.password === undefined || (await answersStrangers(address, isTls));
  return { server: serverText(address), host: address.host, isTls, isOpen, ...facts };
}

/** Whether somebody without credentials is answered. */
export function answersStrangers(address: RedisAddress, isTls: boolean): Promise<boolean> {
  const credentials = { username: undefined, password: undefined };
  return askServer(address, { credentials, isTls }, (ask) => ask('PING')).then(
    () => true,
    () => false,
  );
}

/** An array name, value, name, value, … */
export function pairs(reply: unknown): Map<string, string> {
  const items = Array.isArray(reply) ? reply : [];
  return new Map(items.flatMap((name, i) => (i % 2 === 0 ? [[String(name), String(items[i + 1])] as const] : [])));
}

/** For findings: never a password, which neither server nor system repeats. */
export function problemText(error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  const code = (cause as NodeJS.ErrnoException).code;
  // Some are a page long.
  return code ?? (cause instanceof Error ? cause.message : String(cause)).replace(/\. .*/s, '');
}
