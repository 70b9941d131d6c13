/**
 * What all functions of the library share. Rules for every function but `look` and `adopt`:
 * - KEYS[1] is the shard hash of the hash tag that the call works on, ARGV[1] the history under which the caller works. '' is for callers that know of
 *   none: they are refused where the server has not been adopted yet, which costs some microseconds to find out.
 * - It begins with `local shard, refusal = enter(keys, args)`; a refusal is returned as it is.
 * - An answer is an array whose first element is a status, 'OK' or why not: 'HISTORY' (adopt, then call again), 'TERM' (with the term that
 *   fences), ... Nothing was written unless it is 'OK'. Error replies are for what no caller expects.
 * - Numbers become text by `text` only: Lua's own way would write 1e+15.
 */
export const BASE_LUA: string = `
local function text(number)
  return string.format('%.0f', number)
end

-- Milliseconds of the server's clock.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Another one after every restart and every promotion of the server.
local function incarnation()
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local replication_id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return run_id .. ':' .. replication_id
end

-- The shard as it is, or why the call is refused: it was adopted anew since the caller looked, or not yet.
local function enter(keys, args)
  local facts = redis.call('HMGET', keys[1], 'history', 'claimed')
  local history = facts[1]
  if not history then return nil, {'HISTORY'} end
  if args[1] ~= history and (args[1] ~= '' or redis.call('HGET', keys[1], 'incarnation') ~= incarnation()) then return nil, {'HISTORY'} end
  return {history = history, claimed = tonumber(facts[2] or '0')}
end

-- Refuses who acts under an older term than the claimed one; '' acts under none and is not fenced (clients that are no node of Tandem's).
local function fence(term, claimed)
  if term ~= '' and tonumber(term) < claimed then return {'TERM', text(claimed)} end
end

local function register(name, callback, ...)
  redis.register_function{function_name = 'tandem1_' .. name, callback = callback, flags = {...}}
end
`;
