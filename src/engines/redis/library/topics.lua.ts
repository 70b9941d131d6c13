/**
 * Functions about topics: `{<prefix>}:topics` is a hash of name -> JSON, the field topicsVersion of `{<prefix>}:catalog` rises with each change, and
 * each change is told on the sharded channel `{<prefix>}:topics`.
 */
export const TOPICS_LUA: string = `
local function topic_json(partitions, retention_ms, retention_bytes)
  return '{"partitions":' .. text(partitions) .. ',"retentionMs":' .. retention_ms .. ',"retentionBytes":' .. retention_bytes .. '}'
end

-- Creates or changes a topic; partitions never shrink.
-- KEYS catalog shard, topics, catalog, channel  ARGV history, name, partitions, retentionMs or null, retentionBytes or null, topics at most
-- Answers 'OK', JSON; or 'LIMIT'.
local function ensure_topic(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local before = redis.call('HGET', keys[2], args[2])
  local partitions = tonumber(args[3])
  if before then
    partitions = math.max(partitions, tonumber(string.match(before, '"partitions":(%d+)')))
  elseif redis.call('HLEN', keys[2]) >= tonumber(args[6]) then
    return {'LIMIT'}
  end
  local json = topic_json(partitions, args[4], args[5])
  if json ~= before then
    redis.call('HSET', keys[2], args[2], json)
    redis.call('HINCRBY', keys[3], 'topicsVersion', 1)
    redis.call('SPUBLISH', keys[4], args[2])
  end
  return {'OK', json}
end

-- KEYS catalog shard, topics  ARGV history, name. Answers 'OK', JSON or nil.
local function find_topic(keys, args)
  local shard, refusal = enter(keys, args)
  return refusal or {'OK', redis.call('HGET', keys[2], args[2])}
end

-- KEYS catalog shard, topics, catalog  ARGV history, the version that the caller knows, the history that it is of
-- Answers 'OK', history, version, and unless both are known: name, JSON, name, JSON, ...
local function list_topics(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local answer = {'OK', shard.history, redis.call('HGET', keys[3], 'topicsVersion') or '0'}
  if answer[3] == args[2] and answer[2] == args[3] then return answer end
  for _, value in ipairs(redis.call('HGETALL', keys[2])) do answer[#answer + 1] = value end
  return answer
end

register('ensure_topic', ensure_topic)
register('find_topic', find_topic)
register('list_topics', list_topics)
`;
