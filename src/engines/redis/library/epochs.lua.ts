/**
 * What the functions about records share about epochs (the format: records.lua.ts). A partition's epoch follows the shard's history: it changes at the
 * partition's first use under another one, and where the earlier one ended is noted then. A position in an earlier epoch is still good up to there.
 */
export const EPOCHS_LUA: string = `
local ENDS_MAX_BYTES = 1280

-- The offset after an entry.
local function stop_of(entry)
  local offset, count = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(offset) + tonumber(count)
end

local function id_of(epoch)
  return string.match(epoch, '^[^.]*')
end

local function history_of(epoch)
  return string.match(epoch, '[^.]*$')
end

-- The first use of a partition under this history, or at all: notes where the one before it ended. Answers epoch, first, next as texts.
local function renew(shard, keys, log, meta)
  local facts = redis.call('HMGET', meta, 'epoch', 'first', 'next', 'ends')
  local epoch, first, next, ends = facts[1], facts[2], facts[3], facts[4] or ''
  if epoch then
    local history = history_of(epoch)
    ends = ends .. history .. '=' .. next .. ';'
    while #ends > ENDS_MAX_BYTES do ends = string.sub(ends, string.find(ends, ';', 1, true) + 1) end
    epoch = id_of(epoch) .. '.' .. history .. '_' .. next .. '.' .. shard.history
  else
    local id = redis.call('HGET', keys[1], 'id') .. '-' .. text(redis.call('HINCRBY', keys[1], 'partitions', 1))
    epoch = id .. '.' .. shard.history
    -- The stream may have been left when its facts were not (somebody deleted or evicted them).
    local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    first = last and string.match(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][1], '^%d+') or '0'
    next = last and text(stop_of(last)) or '0'
  end
  redis.call('HSET', meta, 'epoch', epoch, 'first', first, 'next', next, 'ends', ends)
  return epoch, first, next
end

local function is_of(epoch, history)
  return epoch and string.sub(epoch, -#history) == history and string.byte(epoch, -#history - 1) == 46
end

-- Where a partition begins and ends. Answers epoch, first, next.
local function bounds(shard, keys, log, meta)
  local facts = redis.call('HMGET', meta, 'epoch', 'first', 'next')
  local epoch, first, next = facts[1], facts[2], facts[3]
  if not is_of(epoch, shard.history) then epoch, first, next = renew(shard, keys, log, meta) end
  return epoch, tonumber(first), tonumber(next)
end

-- Up to where an earlier epoch is the past of this one; nil: that is not known.
local function common_until(meta, epoch, earlier)
  if id_of(earlier) ~= id_of(epoch) then return nil end
  local history = history_of(earlier)
  local parent, fork = string.match(earlier, '^[^.]*%.([^.]*)_(%d+)%.')
  local common
  for name, stop in string.gmatch(redis.call('HGET', meta, 'ends') or '', '([^=;]+)=(%d+);') do
    if name == history then return tonumber(stop) end
    if name == parent then common = math.min(tonumber(stop), tonumber(fork)) end
  end
  -- It began beside this one, or beside an earlier one of this server's.
  if parent == history_of(epoch) then return tonumber(fork) end
  return common
end
`;
