/**
 * What happens in Redis, each step in one atomic script. L is the user's list, T a taker's name, `<node>/<slot>`.
 *
 *   L                    the user's list, written by the user's code
 *   L:tandem:T           list: what T has taken and not yet finished, newest first
 *   L:tandem:T:state     hash: owner (a process), holder (one session of it), term, nodeTerm, producer, topic, partition, epoch, limit,
 *                        stored (how many items of this producer are finished)
 *   L:tandem:T:alive     lives as long as T gives signs of life
 *   L:tandem:takers      sorted set of names, by when they came or went
 *   L:tandem:refused     items larger than limits.recordBytesMax, newest first
 *
 * Invariant: the item at place i from the right of L:tandem:T (0, 1, ...) has the producer sequence stored + 1 + i, for ever: items join at the
 * left end only, leave at the right end only together with the counting of `stored`, and by the session that holds T only. What is
 * larger than `limit` never counts: it is moved away before anything is read behind it, and `limit` is fixed as long as the list is not empty.
 * Each script checks the holder first, so whoever was replaced changes nothing.
 *
 * Needs Redis 6.2. A full server (maxmemory) refuses a script's first write only if it could need memory: so each begins with one
 * that cannot, and the way out of a full Redis is never blocked.
 */
import { createHash } from 'node:crypto';
import { type RedisConnection, RedisProblem, type RedisReply } from '../../core/ports/redis-connection.ts';

/** A taker that gave no sign of life for so long is dead. Above the time for which it may wait in BLMOVE. */
export const ALIVE_MS = 10_000;
/** Names of takers that left nothing are kept so long: something may still come in under them from a connection that is half dead. */
const NAME_KEPT_S = 24 * 3600;

const FENCE = `
if redis.call('HGET', KEYS[3], 'holder') ~= ARGV[1] then return {'lost'} end
if redis.call('PEXPIRE', KEYS[4], ARGV[2]) == 0 then
  redis.call('SET', KEYS[4], redis.call('HGET', KEYS[3], 'owner'), 'PX', ARGV[2])
end`;

/**
 * ARGV: holder, aliveMs, owner, term, nodeTerm, name, mode (own | renew | adopt), the owner that may be replaced though alive ('': none),
 * and for a new state: producer, topic, partition, epoch, limit.
 * Replies held (another one lives), gone (nothing to adopt) or ok, producer, topic, partition, limit, stored, how many items lie there.
 */
const ATTACH = `
local state = redis.call('HMGET', KEYS[3], 'owner', 'term', 'producer', 'topic', 'limit')
local held = redis.call('LLEN', KEYS[2])
local isAdoption = ARGV[7] == 'adopt'
if state[1] and state[1] ~= ARGV[3] and redis.call('EXISTS', KEYS[4]) == 1 then
  local mayReplace = state[1] == ARGV[8] or (not isAdoption and tonumber(state[2]) < tonumber(ARGV[4]))
  if not mayReplace then return {'held'} end
end
if isAdoption and not state[3] and held == 0 then return {'gone'} end
redis.call('DEL', KEYS[4])
local isOther = ARGV[7] == 'renew' or state[4] ~= ARGV[10] or state[5] ~= ARGV[13]
if not state[3] or (not isAdoption and held == 0 and isOther) then
  redis.call('HSET', KEYS[3], 'producer', ARGV[9], 'topic', ARGV[10], 'partition', ARGV[11], 'epoch', ARGV[12],
    'limit', ARGV[13], 'term', 0, 'nodeTerm', 0, 'stored', 0)
end
redis.call('HSET', KEYS[3], 'owner', ARGV[3], 'holder', ARGV[1])
if not isAdoption then
  redis.call('HSET', KEYS[3], 'term', ARGV[4], 'nodeTerm', ARGV[5])
end
redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[2])
redis.call('ZADD', KEYS[6], redis.call('TIME')[1], ARGV[6])
local now = redis.call('HMGET', KEYS[3], 'producer', 'topic', 'partition', 'limit', 'stored')
return {'ok', now[1], now[2], now[3], now[4], now[5], held}`;

/**
 * ARGV: holder, aliveMs, how many of the oldest items are finished, how many behind them the session knows, how many to take and about how
 * many bytes, from which end, the partition's epoch ('': as it was).
 * Replies lost or ok, stored, how many were too large, and the items that the session did not know: first what lay there, then what was taken.
 */
const STEP = `${FENCE}
local done, known = tonumber(ARGV[3]), tonumber(ARGV[4])
if done > 0 then
  redis.call('LTRIM', KEYS[2], 0, -(done + 1))
  redis.call('HINCRBY', KEYS[3], 'stored', done)
end
if ARGV[8] ~= '' then redis.call('HSET', KEYS[3], 'epoch', ARGV[8]) end
local limit = tonumber(redis.call('HGET', KEYS[3], 'limit'))
local refused, bytes, items = 0, 0, {}
local unknown = redis.call('LLEN', KEYS[2]) - known
if unknown > 0 then
  local found = redis.call('LRANGE', KEYS[2], 0, unknown - 1)
  for i = unknown, 1, -1 do
    if #found[i] > limit then refused = refused + 1 else items[#items + 1] = found[i] end
  end
  if refused > 0 then
    local kind = redis.call('TYPE', KEYS[5]).ok
    if kind ~= 'list' and kind ~= 'none' then return redis.error_reply('WRONGTYPE ' .. KEYS[5] .. ' is no list') end
    redis.call('LTRIM', KEYS[2], unknown, -1)
    for i = unknown, 1, -1 do
      redis.call('LPUSH', #found[i] > limit and KEYS[5] or KEYS[2], found[i])
    end
  end
end
local bytesMax = tonumber(ARGV[6])
for i = 1, tonumber(ARGV[5]) do
  if bytes >= bytesMax then break end
  local item = redis.call('LMOVE', KEYS[1], KEYS[2], ARGV[7], 'LEFT')
  if not item then break end
  if #item > limit then
    redis.call('LMOVE', KEYS[2], KEYS[5], 'LEFT', 'LEFT')
    refused = refused + 1
  else
    items[#items + 1] = item
  end
  bytes = bytes + #item
end
local reply = {'ok', redis.call('HGET', KEYS[3], 'stored'), refused}
for i = 1, #items do reply[i + 3] = items[i] end
return reply`;

/** ARGV: holder, aliveMs, name. The session goes; who has left nothing is forgotten, anything else is free to be taken over. */
const RELEASE = `
if redis.call('HGET', KEYS[3], 'holder') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[4])
if redis.call('LLEN', KEYS[2]) == 0 then redis.call('DEL', KEYS[3]) end
redis.call('ZADD', KEYS[6], redis.call('TIME')[1], ARGV[3])
return 1`;

/** ARGV: what taker's keys begin with, the asking name. Replies, for each other name that has left something: name, 1 if it lives, owner, topic, partition, epoch, nodeTerm. */
const OTHERS = `
local others = {}
local now = tonumber(redis.call('TIME')[1])
local names = redis.call('ZRANGE', KEYS[6], 0, -1, 'WITHSCORES')
for i = 1, #names, 2 do
  local name = names[i]
  local key = ARGV[1] .. name
  local state = redis.call('HMGET', key .. ':state', 'owner', 'topic', 'partition', 'epoch', 'nodeTerm')
  if state[1] or redis.call('EXISTS', key) == 1 then
    if name ~= ARGV[2] then
      others[#others + 1] = {name, redis.call('EXISTS', key .. ':alive'), state[1] or '', state[2] or '', state[3] or '0',
        state[4] or '', state[5] or '0'}
    end
  elseif now - tonumber(names[i + 1]) > ${NAME_KEPT_S} then
    redis.call('ZREM', KEYS[6], name)
  end
end
return others`;

/** How a session stands in Redis. */
export interface Attachment {
  readonly producer: string;
  readonly topic: string;
  readonly partition: number;
  readonly limit: number;
  /** Items of the producer that are finished: the oldest that lies there has the next sequence. */
  readonly stored: number;
  readonly held: number;
}

export interface AttachOptions {
  readonly mode: 'own' | 'renew' | 'adopt';
  readonly owner: string;
  readonly term: number;
  readonly nodeTerm: number;
  /** May be replaced though it gives signs of life; '': nobody. */
  readonly replaceable: string;
  /** What a new state gets. */
  readonly fresh: {
    readonly producer: string;
    readonly topic: string;
    readonly partition: number;
    readonly epoch: string;
    readonly limit: number;
  };
}

export interface StepOptions {
  readonly done: number;
  readonly known: number;
  readonly takeMax: number;
  readonly bytesMax: number;
  /** '': as it was. */
  readonly epoch: string;
}

export interface StepResult {
  readonly stored: number;
  /** Moved to the refused ones. */
  readonly refused: number;
  readonly items: readonly Buffer[];
}

/** Another taker that has left something. */
export interface OtherTaker {
  readonly name: string;
  readonly isAlive: boolean;
  readonly owner: string;
  readonly topic: string;
  readonly partition: number;
  readonly epoch: string;
  readonly nodeTerm: number;
}

export type ListEnd = 'left' | 'right';

/** One session under one taker's name. */
export class TakerScripts {
  readonly #connection: RedisConnection;
  readonly #keys: readonly string[];
  readonly #name: string;
  readonly #holder: string;

  constructor(connection: RedisConnection, list: string, name: string, holder: string) {
    this.#connection = connection;
    this.#name = name;
    this.#holder = holder;
    const own = `${prefixOf(list)}${name}`;
    this.#keys = [list, own, `${own}:state`, `${own}:alive`, refusedKey(list), `${prefixOf(list)}takers`];
  }

  /** The list that holds what was taken. */
  get processingKey(): string {
    return this.#keys[1] as string;
  }

  /** 'held': another one lives. 'gone': there is nothing to adopt. */
  async attach(options: AttachOptions): Promise<Attachment | 'held' | 'gone'> {
    const { mode, owner, term, nodeTerm, replaceable, fresh } = options;
    const { producer, topic, partition, epoch, limit } = fresh;
    const who = [owner, term, nodeTerm, this.#name, mode, replaceable];
    const [result, ...fields] = await this.#run(ATTACH, [...who, producer, topic, partition, epoch, limit]);
    const text = String(result);
    if (text !== 'ok') return text as 'held' | 'gone';
    const [noted, inTopic, inPartition, limited, stored, held] = fields.map(String);
    return {
      producer: noted ?? '',
      topic: inTopic ?? '',
      partition: Number(inPartition),
      limit: Number(limited),
      stored: Number(stored),
      held: Number(held),
    };
  }

  /** undefined: another session holds the name. */
  async step(options: StepOptions, from: ListEnd): Promise<StepResult | undefined> {
    const { done, known, takeMax, bytesMax, epoch } = options;
    const reply = await this.#run(STEP, [done, known, takeMax, bytesMax, from === 'left' ? 'LEFT' : 'RIGHT', epoch]);
    const [result, stored, refused, ...items] = reply;
    if (String(result) !== 'ok') return undefined;
    return { stored: Number(stored), refused: Number(refused), items: items as Buffer[] };
  }

  async release(): Promise<void> {
    await this.#run(RELEASE, [this.#name]);
  }

  #run(script: string, options: readonly (string | number)[]): Promise<readonly RedisReply[]> {
    return evaluate(this.#connection, script, this.#keys, [this.#holder, ALIVE_MS, ...options]);
  }
}

export const refusedKey = (list: string): string => `${prefixOf(list)}refused`;

export async function otherTakers(connection: RedisConnection, list: string, name: string): Promise<OtherTaker[]> {
  const prefix = prefixOf(list);
  const keys = [list, list, list, list, list, `${prefix}takers`];
  const rows = await evaluate(connection, OTHERS, keys, [prefix, name]);
  return rows.map((row) => {
    const [other, alive, owner, topic, partition, epoch, nodeTerm] = (row as readonly RedisReply[]).map(String);
    return {
      name: other ?? '',
      isAlive: alive === '1',
      owner: owner ?? '',
      topic: topic ?? '',
      partition: Number(partition),
      epoch: epoch ?? '',
      nodeTerm: Number(nodeTerm),
    };
  });
}

const prefixOf = (list: string): string => `${list}:tandem:`;

const digests = new Map<string, string>();

function digestOf(script: string): string {
  let digest = digests.get(script);
  if (digest === undefined) {
    digest = createHash('sha1').update(script).digest('hex');
    digests.set(script, digest);
  }
  return digest;
}

/** The server keeps scripts by their digest until it restarts. */
async function evaluate(
  connection: RedisConnection,
  script: string,
  keys: readonly string[],
  options: readonly (string | number)[],
): Promise<readonly RedisReply[]> {
  const rest = [String(keys.length), ...keys, ...options.map(String)];
  try {
    return listOf(await connection.call(['EVALSHA', digestOf(script), ...rest]));
  } catch (thrown) {
    if (!(thrown instanceof RedisProblem && thrown.code === 'NOSCRIPT')) throw thrown;
    return listOf(await connection.call(['EVAL', script, ...rest]));
  }
}

const listOf = (reply: RedisReply): readonly RedisReply[] => (Array.isArray(reply) ? reply : [reply]);
