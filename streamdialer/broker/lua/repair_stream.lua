-- Makes a stream anew whose newest id is so near the last possible one that it soon takes no entry any more. Entries,
-- groups and pending lists (of each as many as one call moves) stay; entries with such ids get new ones. A stream of ours
-- is made anew in one call: its consumers must first work it off, and of entries that are done and stay for other groups
-- those go for which there is no room. Other streams are moved some entries at a time.
-- KEYS 1 stream, 2 where it is made anew, 3 the stream's entries retained for other groups
-- ARGV most entries to move, bytes after which no more are moved, our group
-- Returns "ok" it needs no repair · "repaired" · "more" some entries have been moved or have gone: go on · "later" its
--   consumers must first work it off
-- uses: stream_ids finish
local stream, anew, retained = unpack(KEYS)
local batch, most_bytes, our_group = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local MOST_VALUES = 7000 -- as many as one command takes from a script
local TEXT_COST = 100 -- a text takes as long to move as so many bytes
local function is_near_the_last(id) return #string.match(id, '^%d+') == 20 end

local newest = last_generated_id(stream)
if not newest or not is_near_the_last(newest) then return 'ok' end
local groups, is_ours = {}, false
for i, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  groups[i] = {}
  for k = 1, #fields, 2 do groups[i][fields[k]] = fields[k + 1] end
  is_ours = is_ours or groups[i].name == our_group
end

local LAST_ID = '18446744073709551615-18446744073709551615' -- nothing comes after it
local entries, bytes, from = {}, 0, '-'
while #entries < batch and bytes < most_bytes do -- read one by one: some may be large
  local entry = redis.call('XRANGE', stream, from, '+', 'COUNT', 1)[1]
  if not entry then break end
  entries[#entries + 1], from = entry, '(' .. entry[1]
  for _, text in ipairs(entry[2]) do bytes = bytes + #text + TEXT_COST end
  if entry[1] == LAST_ID then break end
end
local is_whole = from == '(' .. LAST_ID or #redis.call('XRANGE', stream, from, '+', 'COUNT', 1) == 0
if is_ours and not is_whole then
  local own, length = needed_by_groups(stream, our_group, retained), redis.call('XLEN', stream)
  if own then trim(stream, retained, own) end
  return redis.call('XLEN', stream) < length and 'more' or 'later'
end

local to_rename, moved = {}, {}
for _, entry in ipairs(entries) do
  moved[#moved + 1] = entry[1]
  if is_near_the_last(entry[1]) then
    to_rename[#to_rename + 1] = entry
  else
    redis.call('XADD', anew, entry[1], unpack(entry[2], 1, math.min(#entry[2], MOST_VALUES)))
  end
end
for _, its in ipairs(is_whole and groups or {}) do
  local delivered = its['last-delivered-id']
  redis.call('XGROUP', 'CREATE', anew, its.name, is_near_the_last(delivered) and '$' or delivered, 'MKSTREAM')
  for _, pending in ipairs(redis.call('XPENDING', stream, its.name, '-', '+', batch)) do
    local id, consumer, idle, deliveries = unpack(pending)
    if not is_near_the_last(id) then
      redis.call('XCLAIM', anew, its.name, consumer, 0, id, 'IDLE', idle, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
    end
  end
end
for _, entry in ipairs(to_rename) do
  redis.call('XADD', anew, '*', unpack(entry[2], 1, math.min(#entry[2], MOST_VALUES)))
end
if not is_whole then
  redis.call('XDEL', stream, unpack(moved))
  return 'more'
end
redis.call('DEL', stream)
if redis.call('EXISTS', anew) == 1 then redis.call('RENAME', anew, stream) end
return 'repaired'
