/**
 * What the functions about records share about epochs (the format: records.lua.ts). A partition's epoch follows the shard's history: it changes at the
 * partition's first use under another one, and where the earlier one ended is noted then. A position in an earlier epoch is still good up to there.
 */
export const EPOCHS_LUA: string = `
local ENDS_MAX_BYTES = 1280
local ANCESTORS_MAX = 4

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

-- What follows an epoch that ended at an offset.
local function epoch_after(epoch, stop, history)
  local id, before, last = string.match(epoch, '^([^.]*)%.(.-)([^.]*)$')
  local ancestors = before .. last .. '_' .. stop .. '.'
  local _, count = string.gsub(ancestors, '%.', '')
  if count > ANCESTORS_MAX then ancestors = string.match(ancestors, '%.(.*)$') end
  return id .. '.' .. ancestors .. history
end

-- The first use of a partition under this history, or at all: notes where the one before it ended. Answers epoch, first, next as texts.
local function renew(shard, keys, log, meta)
  local facts = redis.call('HMGET', meta, 'epoch', 'first', 'next', 'ends')
  local epoch, first, next, ends = facts[1], facts[2], facts[3], facts[4] or ''
  if epoch then
    ends = ends .. history_of(epoch) .. '=' .. next .. ';'
    while #ends > ENDS_MAX_BYTES do ends = string.sub(ends, string.find(ends, ';', 1, true) + 1) end
    epoch = epoch_after(epoch, next, shard.history)
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

-- Up to where an earlier epoch is the past of this one; nil: that is not known. If this server does not know its history, that began beside this one's, or
-- beside an earlier one's: the last ancestor that is known here tells where.
local function common_until(meta, epoch, earlier)
  if id_of(earlier) ~= id_of(epoch) then return nil end
  local stops = {[history_of(epoch)] = math.huge}
  for name, stop in string.gmatch(redis.call('HGET', meta, 'ends') or '', '([^=;]+)=(%d+);') do stops[name] = tonumber(stop) end
  local common = stops[history_of(earlier)]
  if common then return common end
  for name, fork in string.gmatch(earlier, '([^._]+)_(%d+)%.') do
    if stops[name] then common = math.min(stops[name], tonumber(fork)) end
  end
  return common
end
`;
