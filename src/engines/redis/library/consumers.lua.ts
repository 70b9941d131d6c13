/**
 * Functions about what the operator said of consumers. `{<prefix>}:paused` is the set of the names of those that are paused; each change is told on the
 * sharded channel of the same name.
 */
export const CONSUMERS_LUA: string = `
-- KEYS shard, set, channel  ARGV history, name, '1' or '0'. Answers 'OK'.
local function pause_consumer(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local changed = redis.call(args[3] == '1' and 'SADD' or 'SREM', keys[2], args[2])
  if changed == 1 then redis.call('SPUBLISH', keys[3], args[2]) end
  return {'OK'}
end

-- KEYS shard, set  ARGV history. Answers 'OK', name, ...
local function paused_consumers(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  return {'OK', unpack(redis.call('SMEMBERS', keys[2]))}
end

register('pause_consumer', pause_consumer, 'allow-oom')
register('paused_consumers', paused_consumers, 'no-writes', 'allow-oom')
`;
