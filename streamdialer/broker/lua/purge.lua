-- Deletes the oldest entries of a stream, unless something still depends on them. Its consumer groups stay.
-- KEYS 1 stream, then the keys that must not exist
-- ARGV group, most entries to delete, id up to which entries are deleted, bytes after which the call ends
-- Returns how many were deleted · -1 one of those keys exists
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return -1 end
end
local LAST_ID = '18446744073709551615-18446744073709551615' -- nothing comes after it
local ids, bytes, from = {}, 0, '-'
while #ids < tonumber(ARGV[2]) and bytes < tonumber(ARGV[4]) do -- read one by one: some may be large
  local entry = redis.call('XRANGE', KEYS[1], from, ARGV[3], 'COUNT', 1)[1]
  if not entry then break end
  ids[#ids + 1], from = entry[1], '(' .. entry[1]
  for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  if entry[1] == LAST_ID then break end
end
if #ids == 0 then return 0 end
redis.pcall('XACK', KEYS[1], ARGV[1], unpack(ids)) -- an error where there is no group
return redis.call('XDEL', KEYS[1], unpack(ids))
