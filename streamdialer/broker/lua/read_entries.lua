-- Reads entries one after the other until they are so many or so large: one reply must not fill its reader's memory.
-- KEYS 1 stream
-- ARGV group, consumer, what to read (new · own: its pending entries, a delivery · seen: the same, no delivery · idle:
--   entries that others left pending), id after which to begin, most entries, bytes after which to stop, idle ms,
--   the last delivery: it is set back by one, the consumer counts it when it begins the entry
-- Returns the id to go on from ('' = there is no more), then {id, fields ({} = the entry was deleted), deliveries with
--   this one} for each
local stream, group, consumer, kind, after = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left, last = tonumber(ARGV[6]), tonumber(ARGV[8])

-- Returns the next entry, if there is one, and whether there may be more.
local function next_entry()
  if kind == 'idle' then
    local answer = redis.call('XAUTOCLAIM', stream, group, consumer, ARGV[7], after, 'COUNT', 1)
    after = answer[1]
    return answer[2][1], after ~= '0-0'
  elseif kind == 'seen' then
    local pending = redis.call('XPENDING', stream, group, '(' .. after, '+', 1, consumer)[1]
    if not pending then return nil, false end
    after = pending[1]
    return redis.call('XRANGE', stream, after, after)[1] or { after }, true
  end
  local from = kind == 'new' and '>' or after
  local answer = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, from)
  local entry = answer and answer[1][2][1]
  if entry then after = entry[1] end
  return entry, not not entry
end

local function deliveries_of(id)
  if kind == 'new' then return 1 end
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local deliveries = pending and pending[4] or 1
  if deliveries == last then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', last - 1, 'JUSTID')
  end
  return deliveries
end

local entries = {}
for _ = 1, ARGV[5] do
  local entry, has_more = next_entry()
  if entry then
    local fields = entry[2] or {}
    for _, text in ipairs(fields) do left = left - #text end
    entries[#entries + 1] = { entry[1], fields, deliveries_of(entry[1]) }
  end
  if not has_more then after = '' end
  if not has_more or left <= 0 then break end
end
return { after, entries }
