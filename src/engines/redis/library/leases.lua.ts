/**
 * Functions about leases, and the counter of terms: `{<prefix>}:term`, the highest term that was issued or claimed.
 * `{<prefix>}:lease:<name>` is a hash:
 *
 *   holder            who has it; '' nobody
 *   owner             random, of the store object that acquired it
 *   term              of the grant
 *   ttlMs, untilMs    of the last acquire or renewal; until when it lasts, by the server's clock
 *   history           of the shard, when this was written
 *   reservedFor, reservedUntilMs   for whom it is kept after a release
 *
 * Guarantees, each function being one atomic step: of all who ask at most one has the lease; a term is above all that this server knows of.
 *
 * A server that was adopted (a promoted replica, a restart) may not know of the last grants and renewals. What was written under an older history
 * therefore proves nothing but that there was a lease: for one time-to-live from the adoption nobody is granted anything, but for whoever is sure that
 * a grant of its own has not ended yet (it counts the time itself, from before it asked): that grant counts as it was, recorded here or not.
 * A server that began empty is found by the terms that callers have seen (who is refused is told the highest one): it is treated as one that was adopted.
 *
 * The server's clock is a wall clock: a step of it ends leases early or late. The terms at the sinks are what remains then.
 */
export const LEASES_LUA: string = `
local TERM_BLOCK = 67108864

-- The counter; it is lifted if a caller has seen more than this server knows of.
local function known_terms(keys, counter, seen)
  local term = tonumber(redis.call('GET', counter) or '0')
  if seen <= term then return term end
  -- Others may have seen a little more.
  term = (math.floor(seen / TERM_BLOCK) + 1) * TERM_BLOCK
  redis.call('SET', counter, text(term))
  -- It has lost all that it had: as after a promotion.
  if redis.call('HGET', keys[1], 'adoptions') == '1' then redis.call('HSET', keys[1], 'adoptions', '2') end
  return term
end

local function issue_term(shard, counter)
  local term = math.max(tonumber(redis.call('GET', counter) or '0'), shard.claimed) + 1
  redis.call('SET', counter, text(term))
  return term
end

-- Until when nothing that was written under an older history may be judged, given how long that can last; 0: there is none.
local function recovered_at(keys, lasts_ms)
  local facts = redis.call('HMGET', keys[1], 'adoptions', 'adoptedMs')
  if tonumber(facts[1] or '1') <= 1 then return 0 end
  return tonumber(facts[2]) + lasts_ms
end

local function load_lease(shard, keys, ttl_ms)
  local facts = redis.call('HMGET', keys[2], 'holder', 'owner', 'term', 'ttlMs', 'untilMs', 'history', 'reservedFor', 'reservedUntilMs')
  local lease = {
    holder = facts[1] or '', owner = facts[2] or '', term = tonumber(facts[3] or '0'),
    is_stale = facts[6] ~= shard.history, reserved_for = facts[7] or '',
    time = now(),
  }
  if lease.is_stale then
    lease.until_ms = recovered_at(keys, math.max(ttl_ms, tonumber(facts[4] or '0')))
    lease.reserved_for = ''
  else
    lease.until_ms = lease.holder == '' and 0 or tonumber(facts[5])
    if lease.reserved_for ~= '' and tonumber(facts[8]) <= lease.time then lease.reserved_for = '' end
  end
  lease.is_held = lease.time < lease.until_ms
  return lease
end

-- Whether a grant is the current one.
local function is_current(lease, term, is_sure)
  if not lease.is_held then return false end
  if lease.is_stale then return is_sure == '1' and term >= lease.term end
  return term == lease.term
end

local function save_lease(shard, keys, lease, holder, owner, term, ttl_ms)
  redis.call('HSET', keys[2], 'holder', holder, 'owner', owner, 'term', text(term), 'ttlMs', text(ttl_ms),
    'untilMs', text(lease.time + ttl_ms), 'history', shard.history, 'reservedFor', '', 'reservedUntilMs', '0')
end

-- KEYS shard, lease, term counter  ARGV history, holder, owner, ttlMs, highest term seen, term of a grant of this owner's that has surely not ended or 0
-- Answers 'OK', term; or 'HELD' (or reserved for another), the highest term that was issued.
local function acquire_lease(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local highest = known_terms(keys, keys[3], tonumber(args[5]))
  local ttl_ms = tonumber(args[4])
  local lease = load_lease(shard, keys, ttl_ms)
  if lease.is_held then
    local own = tonumber(args[6])
    local is_own = lease.holder == args[2] and lease.owner == args[3]
    if lease.is_stale then is_own = own > 0 and own >= lease.term end
    if not is_own then return {'HELD', highest} end
  elseif lease.reserved_for ~= '' and lease.reserved_for ~= args[2] then
    return {'HELD', highest}
  end
  local term = issue_term(shard, keys[3])
  save_lease(shard, keys, lease, args[2], args[3], term, ttl_ms)
  return {'OK', term}
end

-- KEYS shard, lease, term counter  ARGV history, holder, owner, ttlMs, highest term seen, term of the grant, 1: it has surely not ended
-- Answers 'OK'; or 'GONE'.
local function renew_lease(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  known_terms(keys, keys[3], tonumber(args[5]))
  local ttl_ms, term = tonumber(args[4]), tonumber(args[6])
  local lease = load_lease(shard, keys, ttl_ms)
  if not is_current(lease, term, args[7]) then return {'GONE'} end
  save_lease(shard, keys, lease, args[2], args[3], term, ttl_ms)
  return {'OK'}
end

-- As renew_lease, with reserved for (or ''), for ms, at the end.
local function release_lease(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  known_terms(keys, keys[3], tonumber(args[5]))
  local ttl_ms, term = tonumber(args[4]), tonumber(args[6])
  local lease = load_lease(shard, keys, ttl_ms)
  if not is_current(lease, term, args[7]) then return {'GONE'} end
  save_lease(shard, keys, lease, '', '', term, ttl_ms)
  if args[8] ~= '' then
    redis.call('HSET', keys[2], 'reservedFor', args[8], 'reservedUntilMs', text(lease.time + tonumber(args[9])))
  end
  return {'OK'}
end

-- As renew_lease. Answers 'OK', a new term; or 'GONE'.
local function issue_lease_term(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  known_terms(keys, keys[3], tonumber(args[5]))
  local lease = load_lease(shard, keys, tonumber(args[4]))
  if not is_current(lease, tonumber(args[6]), args[7]) then return {'GONE'} end
  return {'OK', issue_term(shard, keys[3])}
end

-- KEYS shard, lease  ARGV history. Answers 'OK' [, holder, term].
local function lease_holder(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local lease = load_lease(shard, keys, 0)
  if not lease.is_held or lease.holder == '' then return {'OK'} end
  return {'OK', lease.holder, lease.term}
end

register('acquire_lease', acquire_lease, 'allow-oom')
register('renew_lease', renew_lease, 'allow-oom')
register('release_lease', release_lease, 'allow-oom')
register('issue_lease_term', issue_lease_term, 'allow-oom')
register('lease_holder', lease_holder, 'no-writes', 'allow-oom')
`;
