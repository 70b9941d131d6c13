/**
 * May our user do what the engine does? Asked without doing it: within MULTI a server refuses what the user may not run, at once and by name, and
 * DISCARD forgets the rest.
 */
import type { RedisKind } from '../../../core/redis-url.ts';
import { catalogTag, keyOf, shardTag } from '../keys.ts';
import { LIBRARY_CODE } from '../library/library.ts';
import type { Ask } from './server-check.ts';

export interface MissingRights {
  /** As an ACL names them: `+fcall`, `~{tandem*`, `&{tandem*`. */
  readonly names: readonly string[];
  /** False: MULTI is refused, so that nothing was asked. */
  readonly isAsked: boolean;
}

/** Arguments after the key that make a call of a command complete; what the library calls must be here. */
const ARGUMENTS: { readonly [command: string]: readonly string[] } = {
  DEL: [],
  EXISTS: [],
  GET: [],
  HDEL: ['field'],
  HEXISTS: ['field'],
  HGET: ['field'],
  HGETALL: [],
  HINCRBY: ['field', '1'],
  HKEYS: [],
  HLEN: [],
  HMGET: ['field'],
  HSCAN: ['0'],
  HSET: ['field', 'value'],
  HSETNX: ['field', 'value'],
  INCR: [],
  INCRBY: ['1'],
  LPOP: [],
  LRANGE: ['0', '1'],
  RPUSH: ['value'],
  SADD: ['member'],
  SET: ['value'],
  SMEMBERS: [],
  SPUBLISH: ['message'],
  SREM: ['member'],
  XADD: ['1-1', 'field', 'value'],
  XLEN: [],
  XRANGE: ['-', '+'],
  XREVRANGE: ['+', '-'],
  XTRIM: ['MINID', '0'],
  ZADD: ['1', 'member'],
  ZCARD: [],
  ZRANGE: ['0', '1'],
  ZRANGEBYSCORE: ['0', '1'],
  ZREM: ['member'],
  ZSCORE: ['member'],
};
const WITHOUT_KEY = ['PING', 'INFO', 'TIME'];

/** Commands that the functions run: the rights of whoever calls them hold for these too. */
export const libraryCommands = (): string[] => [
  ...new Set(Array.from(LIBRARY_CODE.matchAll(/redis\.p?call\('([A-Z]+)'/g), ([, command = '']) => command)),
];

/** Complete calls of all that the engine needs; none of them is ever executed. */
export function neededCalls(prefix: string, kind: RedisKind): string[][] {
  const catalog = keyOf(catalogTag(prefix), 'shard');
  const shard = keyOf(shardTag(prefix, 0), 'shard');
  const channel = keyOf(shardTag(prefix, 0), 'wake');
  const calls = [
    ...WITHOUT_KEY.map((command) => [command]),
    // Of each connection.
    ['CLIENT', 'SETNAME', 'tandem'],
    ['FUNCTION', 'LOAD', 'REPLACE', '-'],
    ['FCALL', 'tandem1_look', '1', catalog],
    ['FCALL', 'tandem1_look', '1', shard],
    ['WAIT', '0', '0'],
    ['SSUBSCRIBE', channel],
    ['SUNSUBSCRIBE', channel],
  ];
  if (kind === 'cluster') calls.push(['CLUSTER', 'NODES'], ['CLUSTER', 'INFO']);
  for (const command of libraryCommands()) {
    const rest = ARGUMENTS[command];
    if (rest !== undefined) calls.push([command, command === 'SPUBLISH' ? channel : shard, ...rest]);
  }
  return calls;
}

export async function askRights(ask: Ask, prefix: string, kind: RedisKind): Promise<MissingRights> {
  const isAsked = await ask('MULTI').then(
    () => true,
    () => false,
  );
  if (!isAsked) return { names: [], isAsked };
  const names = new Set<string>();
  for (const call of neededCalls(prefix, kind))
    await ask(...call).catch((error: unknown) => {
      const name = missingRight(error, call, prefix);
      if (name !== undefined) names.add(name);
    });
  await ask('DISCARD').catch(() => {});
  return { names: [...names], isAsked };
}

function missingRight(error: unknown, [command = '', sub]: readonly string[], prefix: string): string | undefined {
  const message = error instanceof Error ? error.message : '';
  if (!message.startsWith('NOPERM')) return undefined;
  if (/\bkeys?\b/.test(message)) return `~{${prefix}*`;
  if (/\bchannels?\b/.test(message)) return `&{${prefix}*`;
  const isContainer = command === 'FUNCTION' || command === 'CLUSTER' || command === 'CLIENT';
  return `+${command}${isContainer ? `|${sub}` : ''}`.toLowerCase();
}
