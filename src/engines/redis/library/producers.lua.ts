/**
 * What is kept of a producer in a partition, packed into one field of `{tag}:producers:<topic>:<partition>` (field: the producer's id):
 *
 *   last    double: the last stored sequence
 *   seenMs  double
 *   floor   double: what lies at or below it may have been stored or not, where no run says so (more gaps than there is room for)
 *   gaps    number of gaps (byte), then pairs of doubles, ascending: sequences from, to, above the floor, that were never stored
 *   runs    triples of doubles: first sequence, first offset, count of recent records, the latest last
 *
 * All big-endian. What is not known to be stored counts as a repeat without an origin, since a producer sends again only what it has sent before;
 * with one it is stored, since nothing else may have it. So does what lies in a gap that begins at sequence 1: the producer may have been
 * forgotten. What lies in any other gap is refused without an origin.
 */
export const PRODUCERS_LUA: string = `
local RUN_BYTES = 24
local RUNS_MAX_BYTES = 32 * RUN_BYTES
local GAPS_MAX = 64

local function load_producer(key, id)
  local packed = redis.call('HGET', key, id)
  if not packed then return {last = 0, floor = 0, gaps = {}, runs = ''} end
  local last, _, floor, count, at = struct.unpack('>dddB', packed)
  local gaps = {}
  for i = 1, count do
    local from, to
    from, to, at = struct.unpack('>dd', packed, at)
    gaps[i] = {from, to}
  end
  return {last = last, floor = floor, gaps = gaps, runs = string.sub(packed, at)}
end

local function save_producer(key, id, producer, time)
  local gaps = producer.gaps
  while #gaps > GAPS_MAX do producer.floor = table.remove(gaps, 1)[2] end
  local packed = struct.pack('>dddB', producer.last, time, producer.floor, #gaps)
  for i = 1, #gaps do packed = packed .. struct.pack('>dd', gaps[i][1], gaps[i][2]) end
  redis.call('HSET', key, id, packed .. producer.runs)
end

-- Notes that sequences were stored from an offset on.
local function advance(producer, sequence, offset, count)
  if sequence > producer.last then
    if sequence > producer.last + 1 then table.insert(producer.gaps, {producer.last + 1, sequence - 1}) end
    producer.last = sequence + count - 1
  else
    local stop = sequence + count
    for i, gap in ipairs(producer.gaps) do
      if gap[1] <= sequence and sequence <= gap[2] then
        local from, to = gap[1], gap[2]
        table.remove(producer.gaps, i)
        if stop <= to then table.insert(producer.gaps, i, {stop, to}) end
        if from < sequence then table.insert(producer.gaps, i, {from, sequence - 1}) end
        break
      end
    end
  end
  local runs = producer.runs
  if runs ~= '' then
    local first, first_offset, length = struct.unpack('>ddd', runs, #runs - RUN_BYTES + 1)
    if first + length == sequence and first_offset + length == offset then
      producer.runs = string.sub(runs, 1, -9) .. struct.pack('>d', length + count)
      return
    end
  end
  if #runs >= RUNS_MAX_BYTES then runs = string.sub(runs, RUN_BYTES + 1) end
  producer.runs = runs .. struct.pack('>ddd', sequence, offset, count)
end

-- The run that holds a sequence: its first sequence, first offset and count; or nil and where the next one above it begins, if any.
local function run_of(runs, sequence)
  local above
  for at = 1, #runs, RUN_BYTES do
    local first, offset, count = struct.unpack('>ddd', runs, at)
    if first <= sequence and sequence < first + count then return first, offset, count end
    if first > sequence and (not above or first < above) then above = first end
  end
  return nil, above
end

-- Up to where sequences from one on are alike, and whether they are new. nil: it was left out and may not be filled.
local function stretch_of(producer, gap, sequence, stop, may_fill)
  if sequence > producer.last then return stop, true end
  if sequence <= producer.floor then
    if not may_fill then return producer.floor + 1, false end
    local first, above, count = run_of(producer.runs, sequence)
    if first then return first + count, false end
    return math.min(above or stop, producer.floor + 1), true
  end
  if not gap or gap[1] > sequence then return gap and gap[1] or producer.last + 1, false end
  if may_fill then return gap[2] + 1, true end
  if gap[1] == 1 then return gap[2] + 1, false end
end

-- Cuts sequences into pieces {sequence, count, is new}. nil and the sequence, if one was left out and may not be filled.
local function cut(producer, sequence, count, may_fill)
  if sequence > producer.last then return {{sequence, count, true}} end
  local pieces = {}
  local stop = sequence + count
  local gaps = producer.gaps
  local gap_at = 1
  while sequence < stop do
    while gap_at <= #gaps and gaps[gap_at][2] < sequence do gap_at = gap_at + 1 end
    local to, is_new = stretch_of(producer, gaps[gap_at], sequence, stop, may_fill)
    if not to then return nil, sequence end
    to = math.min(to, stop)
    pieces[#pieces + 1] = {sequence, to - sequence, is_new}
    sequence = to
  end
  return pieces
end

-- Adds to an answer where known sequences are: count, offset (-1: not known), 1.
local function add_places(answer, runs, sequence, count)
  local stop = sequence + count
  while sequence < stop do
    local first, offset, length = run_of(runs, sequence)
    local to, place
    if first then
      to, place = math.min(stop, first + length), offset + sequence - first
    else
      to, place = math.min(stop, offset or stop), -1
    end
    local size = #answer
    answer[size + 1], answer[size + 2], answer[size + 3] = to - sequence, place, 1
    sequence = to
  end
end

-- KEYS shard, producers  ARGV history, producer. Answers 'OK', the last stored sequence (0: none).
local function last_sequence(keys, args)
  local shard, refusal = enter(keys, args)
  return refusal or {'OK', load_producer(keys[2], args[2]).last}
end

-- Forgets producers that were not seen for long; looks at some of them at a time.
-- KEYS shard, producers  ARGV history, own term, not seen since (ms), producers at most, cursor of the last call or 0
-- Answers 'OK', next cursor (0: once around), how many there are too many.
local function forget_producers(keys, args)
  local shard, refusal = enter(keys, args)
  refusal = refusal or fence(args[2], shard.claimed)
  if refusal then return refusal end
  local oldest = tonumber(args[3])
  local cursor, values = unpack(redis.call('HSCAN', keys[2], args[5], 'COUNT', 200))
  local seen = {}
  for i = 1, #values, 2 do
    local _, ms = struct.unpack('>dd', values[i + 1])
    if ms < oldest then
      redis.call('HDEL', keys[2], values[i])
    else
      seen[#seen + 1] = {ms, values[i]}
    end
  end
  local excess = math.max(0, redis.call('HLEN', keys[2]) - tonumber(args[4]))
  -- Of those looked at, the half that was not seen for longest.
  local dropped = math.min(excess, math.ceil(#seen / 2))
  if dropped > 0 then
    table.sort(seen, function(a, b) return a[1] < b[1] end)
    for i = 1, dropped do redis.call('HDEL', keys[2], seen[i][2]) end
  end
  return {'OK', cursor, excess - dropped}
end

register('last_sequence', last_sequence, 'allow-oom')
register('forget_producers', forget_producers, 'allow-oom')
`;
