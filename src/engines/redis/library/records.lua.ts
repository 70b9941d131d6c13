/**
 * Functions about records. A partition has these keys; `{tag}` is that of its shard:
 *
 *   {tag}:log:<topic>:<partition>       stream, an entry per appended batch, see docs/redis.md. Entry id `<first offset>-<count>`
 *   {tag}:meta:<topic>:<partition>      hash:
 *     epoch      `<id>.<history>`, or `<id>.<earlier history>_<where it ended>.<history>` with up to four earlier ones: the id is another one if all was
 *                lost; the last history is the shard's as of the last call. Those before it stand there too, since a server that knows nothing of a
 *                history, as it was promoted beside it, may well know of one before that
 *     ends       `<history>=<offset>;...`: where earlier histories ended, as many as have room
 *     first      the oldest offset that can be read
 *     next       the offset that the next record gets
 *     term       the highest term that was claimed for the partition
 *     written    the highest term that stands in an entry
 *     bytes      of all that was ever appended
 *     markBytes, markMs   of the last mark
 *     armed      1: the next append tells so on the sharded channel {tag}:wake, as '<key of the log> <next offset>'
 *   {tag}:marks:<topic>:<partition>     list of `<first offset>:<bytes before it>:<ms>` of some batches, for retention
 *   {tag}:producers:<topic>:<partition> hash, see producers.lua.ts
 *   {tag}:origins:<topic>:<partition>   hash of origin -> last sequence
 *
 * Invariants: offsets are dense from 0, `first <= next`; entries stand in the order of their offsets, their terms never fall. Cost of an append
 * without repeats: four calls of the server's and no loop, whatever the number of records.
 */
export const RECORDS_LUA: string = `
local MARK_BYTES = 262144
local MARK_MS = 10000
local TRIM_ENTRIES = 5000
local ENTRIES_PER_CHUNK = 64
local ENTRIES_PER_READ = 1000
local MARKS_PER_TURN = 1000

-- Notes how many bytes were stored before an offset, and that all of them are older than a time.
local function mark(marks, meta, offset, bytes, time)
  redis.call('RPUSH', marks, offset .. ':' .. bytes .. ':' .. time)
  redis.call('HSET', meta, 'markBytes', bytes, 'markMs', time)
end

-- The bytes in the data of a batch of count records from the one at index from on.
local function bytes_of(lengths, from, count)
  local bytes = 0
  for i = from, from + count - 1 do bytes = bytes + struct.unpack('<I4', lengths, i * 4 + 1) % 2147483648 + 1 end
  return bytes
end

local function add_entry(log, id, time, term, data, lengths, producer, sequence)
  if producer then
    if lengths == '' then
      redis.call('XADD', log, id, 'time', time, 'term', term, 'data', data, 'producer', producer, 'sequence', sequence)
    else
      redis.call('XADD', log, id, 'time', time, 'term', term, 'data', data, 'lengths', lengths, 'producer', producer, 'sequence', sequence)
    end
  elseif lengths == '' then
    redis.call('XADD', log, id, 'time', time, 'term', term, 'data', data)
  else
    redis.call('XADD', log, id, 'time', time, 'term', term, 'data', data, 'lengths', lengths)
  end
end

-- Stores the pieces of a batch that are new, each as an entry of its own, and adds to the answer for each piece: count, offset, 1 if it was
-- stored before. Answers the next offset and the bytes added.
local function add_pieces(answer, log, offset, time, term, batch, pieces, producer)
  local done, at, added = 0, 1, 0
  for _, piece in ipairs(pieces) do
    local sequence, count, is_new = piece[1], piece[2], piece[3]
    local data, lengths = batch.data, batch.lengths
    if #pieces > 1 then
      local bytes = bytes_of(lengths, done, count)
      if is_new then data, lengths = string.sub(data, at, at + bytes - 1), string.sub(lengths, done * 4 + 1, (done + count) * 4) end
      at = at + bytes
    end
    if is_new then
      add_entry(log, text(offset) .. '-' .. text(count), time, term, data, lengths, batch.producer, sequence)
      if producer then advance(producer, sequence, offset, count) end
      local size = #answer
      answer[size + 1], answer[size + 2], answer[size + 3] = count, offset, 0
      offset = offset + count
      added = added + #data + #lengths
    else
      add_places(answer, producer and producer.runs or '', sequence, count)
    end
    done = done + count
  end
  return offset, added
end

-- Which records of a batch are new. Answers pieces, the producer's state, the origin's last sequence; or nil and why not.
local function pieces_of(keys, args, count)
  local producer_id, sequence, origin_id, after = args[7], tonumber(args[8]) or 0, args[9] or '', tonumber(args[11] or '') or 0
  local producer, origin_last
  local skipped = 0
  if origin_id ~= '' then
    origin_last = tonumber(redis.call('HGET', keys[6], origin_id) or '0')
    if origin_last < after then return nil, {'GAP', text(origin_last)} end
    skipped = math.max(0, math.min(count, origin_last - tonumber(args[10]) + 1))
  end
  if producer_id ~= '' then
    producer = load_producer(keys[5], producer_id)
    if origin_id == '' and producer.last < after then return nil, {'AFTER'} end
  end
  local pieces = {}
  if skipped < count then
    pieces = {{sequence + skipped, count - skipped, true}}
    if producer then
      local left_out
      pieces, left_out = cut(producer, sequence + skipped, count - skipped, origin_id ~= '')
      if not pieces then return nil, {'LEFT_OUT', text(left_out)} end
    end
  end
  if skipped > 0 then table.insert(pieces, 1, {sequence, skipped, false}) end
  return pieces, producer, origin_last
end

-- Appends a batch: all of its records that were not stored before, or none.
-- KEYS shard, log, meta, marks [, producers, origins: where there is a producer or an origin]
-- ARGV history, own term, claimed term ('': the partition's is not looked at), count, data, lengths ('' for one record without attributes)
--      [, producer or '', sequence [, origin or '', sequence [, after: a sequence of the origin, or else of the producer, that must be stored]]]
-- Answers 'OK', epoch, and for each run of records count, offset (-1: not known), 1 if it was stored before.
-- Or: 'TERM'; 'LEFT_OUT', the sequence; 'AFTER': what this one of a producer follows is not stored; 'GAP', the origin's last sequence; 'MALFORMED'.
local function append(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local meta = keys[3]
  local facts = redis.call('HMGET', meta, 'epoch', 'next', 'term', 'written', 'bytes', 'markBytes', 'armed')
  if (args[9] or '') == '' then
    refusal = fence(args[2], shard.claimed) or fence(args[3], tonumber(facts[3] or '0'))
    if refusal then return refusal end
  end
  local count, data, lengths = tonumber(args[4]), args[5], args[6]
  if #lengths ~= count * 4 and (count ~= 1 or lengths ~= '') or string.byte(data, -1) ~= 10 then return {'MALFORMED'} end
  local pieces, producer, origin_last
  if args[7] then
    pieces, producer, origin_last = pieces_of(keys, args, count)
    if not pieces then return producer end
  end
  local epoch, next = facts[1], facts[2]
  if not is_of(epoch, shard.history) then
    local _
    epoch, _, next = renew(shard, keys, keys[2], meta)
  end
  local offset, bytes = tonumber(next), tonumber(facts[5] or '0')
  local ms = now()
  local time = text(ms)
  local written = facts[4] or '0'
  local term = args[3] ~= '' and args[3] or args[2]
  if term == '' or tonumber(term) < tonumber(written) then term = written end
  local answer = {'OK', epoch}
  local stop, added
  if not pieces then
    add_entry(keys[2], next .. '-' .. args[4], time, term, data, lengths)
    answer[3], answer[4], answer[5] = count, offset, 0
    stop, added = offset + count, #data + #lengths
  else
    local batch = {data = data, lengths = lengths, producer = producer and args[7]}
    stop, added = add_pieces(answer, keys[2], offset, time, term, batch, pieces, producer)
    if producer then save_producer(keys[5], args[7], producer, ms) end
    if origin_last then redis.call('HSET', keys[6], args[9], text(math.max(origin_last, tonumber(args[10]) + count - 1))) end
    if added == 0 then return answer end
  end
  if not facts[6] or bytes - tonumber(facts[6]) >= MARK_BYTES then mark(keys[4], meta, next, text(bytes), time) end
  local stop_text = text(stop)
  if facts[7] == '1' then
    redis.call('HSET', meta, 'next', stop_text, 'written', term, 'bytes', text(bytes + added), 'armed', '0')
    redis.call('SPUBLISH', string.match(keys[1], '^{[^}]*}:') .. 'wake', keys[2] .. ' ' .. stop_text)
  else
    redis.call('HSET', meta, 'next', stop_text, 'written', term, 'bytes', text(bytes + added))
  end
  return answer
end

-- Arms the wake-up if there is nothing after an offset. Answers whether it did.
local function arm_at(meta, next, offset)
  if next > offset then return 0 end
  redis.call('HSET', meta, 'armed', '1')
  return 1
end

-- KEYS shard, log, meta  ARGV history, the next offset that the caller knows. Answers 'OK', next, 1 if it is armed now.
local function arm(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local _, _, next = bounds(shard, keys, keys[2], keys[3])
  return {'OK', next, arm_at(keys[3], next, tonumber(args[2]))}
end

-- KEYS shard, log, meta  ARGV history. Answers 'OK', epoch, first, next.
local function state(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local epoch, first, next = bounds(shard, keys, keys[2], keys[3])
  return {'OK', epoch, first, next}
end

local function bytes_in(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'data' then return #fields[i + 1] end
  end
  return 0
end

-- Entries from the one that holds an offset on, as XRANGE gives them: at least one, and at most about so many bytes; not so many that others wait.
local function entries_from(log, offset, bytes_max)
  local entries = redis.call('XREVRANGE', log, text(offset) .. '-18446744073709551615', '-', 'COUNT', 1)
  if #entries == 0 then return entries end
  local bytes = bytes_in(entries[1])
  local chunk = 1
  while bytes < bytes_max and #entries < ENTRIES_PER_READ do
    local average = math.max(1, bytes / #entries)
    chunk = math.max(1, math.min(ENTRIES_PER_CHUNK, chunk * 4, math.ceil((bytes_max - bytes) / average)))
    local more = redis.call('XRANGE', log, '(' .. entries[#entries][1], '+', 'COUNT', chunk)
    for i = 1, #more do
      bytes = bytes + bytes_in(more[i])
      if bytes > bytes_max then return entries end
      entries[#entries + 1] = more[i]
    end
    if #more < chunk then break end
  end
  return entries
end

-- KEYS shard, log, meta  ARGV history, epoch ('' any), offset, bytes at most, 1: arms the wake-up if this reaches the end
-- Answers 'OK', epoch, first, next, 1 if it is armed now, entries. Or 'AHEAD', epoch, first, next; or
-- 'LOST', epoch, first, next, up to where the asked epoch is the past of this one or -1.
local function read(keys, args)
  local shard, refusal = enter(keys, args)
  if refusal then return refusal end
  local epoch, first, next = bounds(shard, keys, keys[2], keys[3])
  local offset = tonumber(args[3])
  local is_current = args[2] == '' or args[2] == epoch
  local common = not is_current and common_until(keys[3], epoch, args[2]) or -1
  if offset < first or not is_current and offset > common then return {'LOST', epoch, first, next, common} end
  if offset > next then return {'AHEAD', epoch, first, next} end
  local entries = {}
  local stop = offset
  if offset < next then
    entries = entries_from(keys[2], offset, tonumber(args[4]))
    local last = entries[#entries]
    if last then stop = stop_of(last) end
  end
  local is_armed = args[5] == '1' and arm_at(keys[3], next, stop) or 0
  return {'OK', epoch, first, next, is_armed, entries}
end

-- Removes what is below the first offset, some at a time. Answers 1 if there may be more.
local function reclaim(log, marks, first)
  while true do
    local pair = redis.call('LRANGE', marks, 0, 1)
    if #pair < 2 or tonumber(string.match(pair[2], '^%d+')) > first then break end
    redis.call('LPOP', marks)
  end
  -- The entry that holds the first offset stays.
  local entry = redis.call('XREVRANGE', log, text(first) .. '-18446744073709551615', '-', 'COUNT', 1)[1]
  if not entry then return 0 end
  local keep = stop_of(entry) > first and string.match(entry[1], '^%d+') or text(first)
  local removed = redis.call('XTRIM', log, 'MINID', '~', keep, 'LIMIT', TRIM_ENTRIES)
  return removed >= TRIM_ENTRIES / 2 and 1 or 0
end

-- Makes what is below an offset unreadable. KEYS shard, log, meta, marks  ARGV history, own term, offset
-- Answers 'OK', first, 1 if there may be more to remove: call again.
local function trim(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed)
  if refusal then return refusal end
  local _, first, next = bounds(shard, keys, keys[2], keys[3])
  local wanted = math.min(tonumber(args[3]), next)
  if wanted > first then
    first = wanted
    redis.call('HSET', keys[3], 'first', text(first))
  end
  return {'OK', first, reclaim(keys[2], keys[4], first)}
end

-- Trims at marks, and sets one now and then. KEYS shard, log, meta, marks  ARGV history, own term, keep what is younger than ms or '', keep bytes or ''
-- Answers 'OK', first, 1 if there may be more to remove: call again.
local function retain(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed)
  if refusal then return refusal end
  local _, first, next = bounds(shard, keys, keys[2], keys[3])
  local facts = redis.call('HMGET', keys[3], 'bytes', 'markBytes', 'markMs')
  local bytes, ms = facts[1] or '0', now()
  if facts[2] and facts[2] ~= bytes and ms - tonumber(facts[3]) >= MARK_MS then mark(keys[4], keys[3], text(next), bytes, text(ms)) end
  local oldest = args[3] ~= '' and ms - tonumber(args[3])
  local excess = args[4] ~= '' and tonumber(bytes) - tonumber(args[4])
  local keep = first
  local marks = redis.call('LRANGE', keys[4], 0, MARKS_PER_TURN - 1)
  for i = 1, #marks do
    local offset, before, mark_ms = string.match(marks[i], '^(%d+):(%d+):(%d+)$')
    if not (oldest and tonumber(mark_ms) < oldest) and not (excess and tonumber(before) <= excess) then break end
    keep = tonumber(offset)
  end
  if oldest and keep < next and #marks < MARKS_PER_TURN then
    local last = redis.call('XREVRANGE', keys[2], '+', '-', 'COUNT', 1)[1]
    if last and tonumber(last[2][2]) < oldest then keep = next end
  end
  local has_more = keep > first and #marks == MARKS_PER_TURN
  if keep > first then
    first = keep
    redis.call('HSET', keys[3], 'first', text(first))
  end
  return {'OK', first, (reclaim(keys[2], keys[4], first) == 1 or has_more) and 1 or 0}
end

-- Raises a partition's term. KEYS shard, log, meta  ARGV history, own term, term
local function claim_partition(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed) or fence(args[3], shard.claimed)
  if refusal then return refusal end
  bounds(shard, keys, keys[2], keys[3])
  refusal = fence(args[3], tonumber(redis.call('HGET', keys[3], 'term') or '0'))
  if refusal then return refusal end
  redis.call('HSET', keys[3], 'term', args[3], 'written', text(math.max(tonumber(args[3]), tonumber(redis.call('HGET', keys[3], 'written') or '0'))))
  return {'OK'}
end

-- The same in the catalog, for commits of groups, which are there. The field is <topic>/<partition>.
-- KEYS catalog shard, claims, term counter  ARGV history, own term, term, field
local function note_claim(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed) or fence(args[3], shard.claimed)
    or fence(args[3], tonumber(redis.call('HGET', keys[2], args[4]) or '0'))
  if refusal then return refusal end
  redis.call('HSET', keys[2], args[4], args[3])
  if tonumber(redis.call('GET', keys[3]) or '0') < tonumber(args[3]) then redis.call('SET', keys[3], args[3]) end
  return {'OK'}
end

-- KEYS shard, origins  ARGV history, origin. Answers 'OK', the last stored sequence (0: none).
local function origin_sequence(keys, args)
  local shard, refusal = enter(keys, args)
  return refusal or {'OK', tonumber(redis.call('HGET', keys[2], args[2]) or '0')}
end

register('append', append)
register('arm', arm, 'allow-oom')
register('state', state, 'allow-oom')
register('read', read, 'allow-oom')
register('trim', trim, 'allow-oom')
register('retain', retain, 'allow-oom')
register('claim_partition', claim_partition, 'allow-oom')
register('note_claim', note_claim, 'allow-oom')
register('origin_sequence', origin_sequence, 'allow-oom')
`;
