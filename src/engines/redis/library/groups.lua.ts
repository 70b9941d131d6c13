/**
 * Functions about consumer groups. A group on a topic has, in the catalog:
 *
 *   {<prefix>}:group:<topic>:<group>     hash:
 *     version        rises with every change of who has what
 *     history        of the shard, when this was last looked at
 *     serial         how many members have joined
 *     partitions     of the topic, when this was last looked at
 *     claimed        the store's claimed term then
 *     recoverMs      until when members say what they had under the older history; 0: they need not
 *     m:<member>     `<serial> <session ms> <own term> <name>`; the member is random, the name outlives its processes
 *     p:<partition>  `<term> <state> <member>`; the term fences commits; states:
 *                      o  the member has it           r  the member is to give it back
 *                      f  nobody has it               u  the member had it under an older history
 *   {<prefix>}:members:<topic>:<group>   sorted set of members by the end of their session, in ms of the server's clock
 *   {<prefix>}:commits:<topic>:<group>   hash of partition -> `<offset> <epoch> <term>:<number>`, the number of the commit as its member counts them
 *
 * Each change is told on the sharded channel {<prefix>}:groups, as `<topic>:<group>`.
 *
 * Guarantees, each function being one atomic step:
 * - A partition has at most one member. It goes to another one when the member gave it back, left, was replaced by a member of the same name, is fenced
 *   by a claim of the store, or let its session end; and then under a new term.
 * - Members count their session themselves, from before they asked, and stop before it ends. So two members never work on a partition, but for what
 *   one that is stopped does after it goes on: its commits are refused.
 * - A commit is taken from who has the partition, under the term under which it has it; where nobody has it, under that or a higher one. One that
 *   comes after a later one of the same member (from a connection that was given up, when the network lets it through) changes nothing.
 * - When members have said all that they have, each has as many partitions as any other, or one more; no more than necessary are moved.
 * - A server that was adopted may have lost what members were told last. Under a new history they say what they have; what nobody says is given away
 *   when every session that began before the adoption has ended.
 */
export const GROUPS_LUA: string = `
local function load_group(keys)
  local group = {members = {}, partitions = {}, dirty = {}, facts = {}, is_changed = false}
  local values = redis.call('HGETALL', keys[2])
  for i = 1, #values, 2 do
    local kind, name = string.match(values[i], '^(%l):(.*)$')
    if kind == 'm' then
      local serial, session, own, member_name = string.match(values[i + 1], '^(%d+) (%d+) (%d+) (.*)$')
      group.members[name] = {id = name, serial = tonumber(serial), session = tonumber(session), own = tonumber(own), name = member_name}
    elseif kind == 'p' then
      local term, state, owner = string.match(values[i + 1], '^(%d+) (%l) (.*)$')
      group.partitions[tonumber(name)] = {term = tonumber(term), state = state, owner = owner}
    else
      group.facts[values[i]] = values[i + 1]
    end
  end
  return group
end

local function put(group, partition, term, state, owner)
  group.partitions[partition] = {term = term, state = state, owner = owner}
  group.dirty[partition] = true
  group.is_changed = true
end

local function put_member(keys, member)
  redis.call('HSET', keys[2], 'm:' .. member.id,
    text(member.serial) .. ' ' .. text(member.session) .. ' ' .. text(member.own) .. ' ' .. member.name)
end

local function free_partitions_of(group, id)
  for partition, place in pairs(group.partitions) do
    if place.owner == id and (place.state == 'o' or place.state == 'r') then put(group, partition, place.term, 'f', '') end
  end
end

local function remove_member(keys, group, id)
  group.members[id] = nil
  redis.call('HDEL', keys[2], 'm:' .. id)
  redis.call('ZREM', keys[3], id)
  free_partitions_of(group, id)
end

-- The first look under this history.
local function begin_history(keys, group, shard, session, time)
  for _, member in pairs(group.members) do session = math.max(session, member.session) end
  local recover_ms = recovered_at(keys, session)
  if recover_ms <= time then recover_ms = 0 end
  for partition, place in pairs(group.partitions) do
    if place.state == 'o' or place.state == 'r' then put(group, partition, place.term, 'u', place.owner) end
  end
  -- The older ends of sessions are of another clock. Without a recovery all of them have ended.
  for id in pairs(group.members) do redis.call('ZADD', keys[3], text(math.max(recover_ms, time)), id) end
  group.facts.history = shard.history
  group.facts.recoverMs = text(recover_ms)
  redis.call('HSET', keys[2], 'history', shard.history)
end

-- Ends the recovery when it is over; then what nobody has confirmed is free.
local function end_recovery(group, count, time)
  local until_ms = tonumber(group.facts.recoverMs or '0')
  if until_ms > time then
    for partition = 0, count - 1 do
      local place = group.partitions[partition]
      if not place or place.state == 'f' or place.state == 'u' then return until_ms - time end
    end
  end
  for partition, place in pairs(group.partitions) do
    if place.state == 'u' then put(group, partition, place.term, 'f', '') end
  end
  group.facts.recoverMs = '0'
  return 0
end

-- What a member had under the older history: '<partition>:<term>:<state> ...'. Answers the highest term.
local function confirm(group, id, count, reported)
  local highest = 0
  for partition, term, state in string.gmatch(reported, '(%d+):(%d+):(%l)') do
    partition, term = tonumber(partition), tonumber(term)
    local place = group.partitions[partition] or {term = 0, state = 'f', owner = ''}
    highest = math.max(highest, term)
    if partition < count and term >= place.term then
      if place.state == 'u' or place.state == 'f' then
        put(group, partition, term, state, id)
      elseif place.owner ~= id then
        -- Two say that they have it: whoever said so first keeps it, under a term that fences the other.
        group.contested = group.contested or {}
        group.contested[partition] = true
      end
    end
  end
  return highest
end

local function give_back(group, id, given)
  for partition, term in string.gmatch(given, '(%d+):(%d+)') do
    local place = group.partitions[tonumber(partition)]
    if place and place.state == 'r' and place.owner == id and place.term == tonumber(term) then
      put(group, tonumber(partition), place.term, 'f', '')
    end
  end
end

-- Members whose session has ended, or that are fenced by a claim.
local function remove_gone(keys, group, shard, time)
  local live = {}
  local scores = redis.call('ZRANGE', keys[3], 0, -1, 'WITHSCORES')
  for i = 1, #scores, 2 do
    if tonumber(scores[i + 1]) > time then live[scores[i]] = true end
    if not group.members[scores[i]] then redis.call('ZREM', keys[3], scores[i]) end
  end
  local gone = {}
  for id, member in pairs(group.members) do
    if not live[id] or member.own < shard.claimed then gone[#gone + 1] = id end
  end
  for _, id in ipairs(gone) do remove_member(keys, group, id) end
end

-- Terms that a claim has overtaken, and contested partitions: a new term for who has them.
local function lift_terms(keys, group, shard, topic, count, issue)
  local has_claims = redis.call('EXISTS', keys[5]) == 1
  for partition = 0, count - 1 do
    local place = group.partitions[partition]
    if place and place.state == 'o' then
      local claimed = has_claims and tonumber(redis.call('HGET', keys[5], topic .. '/' .. text(partition)) or '0') or 0
      local is_contested = group.contested and group.contested[partition]
      if is_contested or place.term < math.max(claimed, shard.claimed) then put(group, partition, issue(), 'o', place.owner) end
    end
  end
end

-- Members by how much they have, and how much each is to have. Those that have most keep the partition that does not divide evenly.
local function quotas(group, count)
  local order = {}
  for _, member in pairs(group.members) do
    member.load = 0
    order[#order + 1] = member
  end
  local total = 0
  for partition = 0, count - 1 do
    local place = group.partitions[partition]
    if place and place.state == 'o' then group.members[place.owner].load = group.members[place.owner].load + 1 end
    total = total + 1
  end
  table.sort(order, function(a, b)
    if a.load ~= b.load then return a.load > b.load end
    return a.serial < b.serial
  end)
  for i, member in ipairs(order) do
    member.quota = math.floor(total / #order) + (i <= total % #order and 1 or 0)
  end
  return order
end

local function rebalance(group, count, issue)
  local order = quotas(group, count)
  if #order == 0 then return end
  local last = #order
  for partition = 0, count - 1 do
    local place = group.partitions[partition]
    if not place or place.state == 'f' then
      while last > 0 and order[last].load >= order[last].quota do last = last - 1 end
      if last == 0 then break end
      order[last].load = order[last].load + 1
      put(group, partition, issue(), 'o', order[last].id)
    end
  end
  for partition = count - 1, 0, -1 do
    local place = group.partitions[partition]
    if place and place.state == 'o' then
      local member = group.members[place.owner]
      if member.load > member.quota then
        member.load = member.load - 1
        put(group, partition, place.term, 'r', place.owner)
      end
    end
  end
end

local function save_group(keys, group, shard, count)
  for partition in pairs(group.dirty) do
    local place = group.partitions[partition]
    redis.call('HSET', keys[2], 'p:' .. text(partition), text(place.term) .. ' ' .. place.state .. ' ' .. place.owner)
  end
  redis.call('HSET', keys[2], 'partitions', text(count), 'claimed', text(shard.claimed), 'recoverMs', group.facts.recoverMs or '0')
  if not group.is_changed then return end
  group.facts.version = text(redis.call('HINCRBY', keys[2], 'version', 1))
  redis.call('SPUBLISH', string.match(keys[1], '^{[^}]*}:') .. 'groups', string.match(keys[2], '^{[^}]*}:group:(.*)$'))
end

local function partition_count(keys, topic)
  local json = redis.call('HGET', keys[4], topic)
  return json and tonumber(string.match(json, '"partitions":(%d+)'))
end

local function issuer(shard, counter)
  local term
  return function()
    term = term or issue_term(shard, counter)
    return term
  end
end

-- Everything that is due, whoever calls. Answers in how many ms to call again; 0: as ever.
local function put_in_order(keys, group, shard, topic, count, time)
  local issue = issuer(shard, keys[6])
  remove_gone(keys, group, shard, time)
  local wait_ms = end_recovery(group, count, time)
  lift_terms(keys, group, shard, topic, count, issue)
  if wait_ms == 0 then rebalance(group, count, issue) end
  save_group(keys, group, shard, count)
  return wait_ms
end

-- Nothing to do but to prolong the session.
local function is_settled(keys, args, shard, count, time)
  local facts = redis.call('HMGET', keys[2], 'history', 'version', 'partitions', 'claimed', 'recoverMs', 'm:' .. args[4])
  if facts[1] ~= shard.history or args[9] ~= shard.history or facts[2] ~= args[10] or args[11] ~= '' then return false end
  if tonumber(facts[3]) ~= count or facts[4] ~= text(shard.claimed) or facts[5] ~= '0' or not facts[6] then return false end
  if string.match(facts[6], '^%d+ %d+ (%d+) ') ~= args[2] then return false end
  return #redis.call('ZRANGEBYSCORE', keys[3], '-inf', text(time), 'LIMIT', 0, 1) == 0
end

-- Puts the member in, or in again. Answers whether it may: another process that has its name may be there now.
local function enter_group(keys, args, group, time)
  local id, name = args[4], args[5]
  local member = group.members[id]
  if not member then
    for other_id, other in pairs(group.members) do
      if other.name == name then
        local until_ms = tonumber(redis.call('ZSCORE', keys[3], other_id) or '0')
        if args[7] ~= '1' and until_ms > time then return false end
        member = other
        break
      end
    end
    local serial = redis.call('HINCRBY', keys[2], 'serial', 1)
    if member then
      local predecessor = member.id
      serial = member.serial
      remove_member(keys, group, predecessor)
    end
    member = {id = id, serial = serial, name = name}
    group.members[id] = member
    group.is_changed = true
  end
  member.session, member.own = tonumber(args[6]), tonumber(args[2])
  put_member(keys, member)
  redis.call('ZADD', keys[3], text(time + member.session), id)
  return true
end

-- A member's sign of life, by which it also joins, gives partitions back, and learns what it has.
-- KEYS shard, group, members, topics, claims, term counter
-- ARGV history, own term, topic, member, its name, session ms, 1: joins (and follows whoever has its name), highest term seen,
--   history that it knows, version that it knows, what it gives back '<partition>:<term> ...',
--   what it has under the history that it knows '<partition>:<term>:<o or r> ...', or - if that is not said
-- Answers 'SAME', version: nothing has changed. 'OK', version, history, ms until the next call (0: as ever), then partition, term, 1: to be given back, ...
--   'REPORT': call again and say what you have. 'UNKNOWN': the topic. 'SUPERSEDED': another process has the name.
local function sync_group(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed)
  if refusal then return refusal end
  known_terms(keys, keys[6], tonumber(args[8]))
  local count = partition_count(keys, args[3])
  if not count then return {'UNKNOWN'} end
  local time = now()
  if is_settled(keys, args, shard, count, time) then
    redis.call('ZADD', keys[3], text(time + tonumber(args[6])), args[4])
    return {'SAME', args[10]}
  end
  local is_of_older = args[9] ~= '' and args[9] ~= shard.history
  if is_of_older and args[12] == '-' then return {'REPORT'} end
  local group = load_group(keys)
  if group.facts.history ~= shard.history then begin_history(keys, group, shard, tonumber(args[6]), time) end
  if not enter_group(keys, args, group, time) then
    save_group(keys, group, shard, count)
    return {'SUPERSEDED'}
  end
  if is_of_older and tonumber(group.facts.recoverMs or '0') > time then
    known_terms(keys, keys[6], confirm(group, args[4], count, args[12]))
  end
  give_back(group, args[4], args[11])
  local wait_ms = put_in_order(keys, group, shard, args[3], count, time)
  local answer = {'OK', group.facts.version, shard.history, wait_ms}
  for partition = 0, count - 1 do
    local place = group.partitions[partition]
    if place and place.owner == args[4] and (place.state == 'o' or place.state == 'r') then
      local size = #answer
      answer[size + 1], answer[size + 2], answer[size + 3] = partition, place.term, place.state == 'r' and 1 or 0
    end
  end
  return answer
end

-- KEYS as sync_group  ARGV history, topic, member. Answers 'OK'.
local function leave_group(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local time = now()
  local group = load_group(keys)
  if not group.members[args[3]] then return {'OK'} end
  if group.facts.history ~= shard.history then begin_history(keys, group, shard, 0, time) end
  remove_member(keys, group, args[3])
  local count = partition_count(keys, args[2])
  if count then put_in_order(keys, group, shard, args[2], count, time) else save_group(keys, group, shard, 0) end
  return {'OK'}
end

-- KEYS shard, group, commits, claims  ARGV history, term, topic, partition, offset, epoch, number. Answers 'OK'; 'TERM', the term that fences.
local function commit(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local facts = redis.call('HMGET', keys[2], 'p:' .. args[4], 'history')
  local own, state = string.match(facts[1] or '0 f ', '^(%d+) (%l)')
  local claimed = redis.call('HGET', keys[4], args[3] .. '/' .. args[4])
  local valid = math.max(shard.claimed, tonumber(claimed or '0'), tonumber(own))
  refusal = fence(args[2], valid)
  if refusal then return refusal end
  -- Given by a server that was the one for a time and is not any more; here somebody else may have the partition.
  local is_had = facts[2] == shard.history and (state == 'o' or state == 'r')
  if is_had and tonumber(args[2]) > valid then return {'TERM', text(valid)} end
  local term, number = string.match(redis.call('HGET', keys[3], args[4]) or '', ' (%d+):(%d+)$')
  local own_number = args[7] or '0'
  if term == args[2] and tonumber(number) > tonumber(own_number) then return {'OK'} end
  redis.call('HSET', keys[3], args[4], args[5] .. ' ' .. args[6] .. ' ' .. args[2] .. ':' .. own_number)
  return {'OK'}
end

-- KEYS shard, commits  ARGV history. Answers 'OK', partition, '<offset> <epoch> ...', ...
local function committed(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local answer = redis.call('HGETALL', keys[2])
  table.insert(answer, 1, 'OK')
  return answer
end

register('sync_group', sync_group, 'allow-oom')
register('leave_group', leave_group, 'allow-oom')
register('commit', commit, 'allow-oom')
register('committed', committed, 'no-writes', 'allow-oom')
`;
