/**
 * Functions about shards themselves.
 *
 * A history is what one server has executed since it became the one that counts. It is named by a number that rises and a random part, since two
 * servers that fail after each other may both adopt from the same older state. The shard hash:
 *
 *   id           random, of this shard's keys: another one if all was lost
 *   history      `<number>-<random>`
 *   incarnation  `<run id>:<replication id>` of the server that was adopted: another one after every restart and every promotion
 *   adoptedMs    when, by the server's clock
 *   adoptions    how often it was adopted; 1: never but when it was made
 *   claimed      the highest term that was claimed for the store
 *   partitions   how many partitions were made here
 */
export const SHARDS_LUA: string = `
-- KEYS shard. Answers 'OK', history, claimed term; or 'ADOPT' if this server has to be adopted.
local function look(keys)
  local facts = redis.call('HMGET', keys[1], 'incarnation', 'history', 'claimed')
  if not facts[2] or facts[1] ~= incarnation() then return {'ADOPT'} end
  return {'OK', facts[2], facts[3] or '0'}
end

-- Begins a new history, unless somebody has done so on this server already.
-- KEYS shard [, term counter: of the catalog]  ARGV random id, random name, claimed term, config epoch
-- Answers 'OK', history, claimed term.
local function adopt(keys, args)
  local facts = redis.call('HMGET', keys[1], 'incarnation', 'history', 'claimed', 'id', 'adoptions')
  local live = incarnation()
  local claimed = math.max(tonumber(facts[3] or '0'), tonumber(args[3]))
  if facts[2] and facts[1] == live then
    if claimed > tonumber(facts[3] or '0') then redis.call('HSET', keys[1], 'claimed', text(claimed)) end
    return {'OK', facts[2], text(claimed)}
  end
  local number = tonumber(string.match(facts[2] or '0-', '^(%d+)-'))
  local history = text(number + 1) .. '-' .. args[2]
  if keys[2] then
    local term = math.max(tonumber(redis.call('GET', keys[2]) or '0'), claimed)
    -- What was issued under the older history may be lost: no term of it is issued again.
    if facts[2] then term = math.max((math.floor(term / 67108864) + 1) * 67108864, tonumber(args[4]) * 68719476736) end
    redis.call('SET', keys[2], text(term))
  end
  redis.call('HSET', keys[1], 'id', facts[4] or args[1], 'history', history, 'incarnation', live, 'claimed', text(claimed),
    'adoptedMs', text(now()), 'adoptions', text(tonumber(facts[5] or '0') + 1))
  return {'OK', history, text(claimed)}
end

-- Raises the store's term here. KEYS shard [, term counter: of the catalog]  ARGV history, term
local function claim(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed)
  if refusal then return refusal end
  redis.call('HSET', keys[1], 'claimed', args[2])
  if keys[2] and tonumber(redis.call('GET', keys[2]) or '0') < tonumber(args[2]) then redis.call('SET', keys[2], args[2]) end
  return {'OK'}
end

-- What holds for the whole store is fixed by whoever is first.
-- KEYS catalog shard, catalog  ARGV history, store id, number of shards
-- Answers 'OK', store id, number of shards, version of the wire form, claimed term.
local function open(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  if redis.call('HSETNX', keys[2], 'storeId', args[2]) == 1 then redis.call('HSET', keys[2], 'shards', args[3], 'version', '1') end
  local facts = redis.call('HMGET', keys[2], 'storeId', 'shards', 'version')
  return {'OK', facts[1], facts[2], facts[3], text(shard.claimed)}
end

register('look', look, 'no-writes', 'allow-oom')
register('adopt', adopt, 'allow-oom')
register('claim', claim, 'allow-oom')
register('open', open, 'allow-oom')
`;
