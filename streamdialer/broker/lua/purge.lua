-- Deletes the oldest entries of a stream, unless something still depends on them. Its consumer groups stay.
-- KEYS 1 stream, then the keys that must not exist
-- ARGV group, most entries to delete, id up to which entries are deleted
-- Returns how many were deleted · -1 one of those keys exists
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then return -1 end
end
local ids = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', ARGV[3], 'COUNT', ARGV[2])) do ids[#ids + 1] = entry[1] end
if #ids == 0 then return 0 end
redis.pcall('XACK', KEYS[1], ARGV[1], unpack(ids)) -- an error where there is no group
return redis.call('XDEL', KEYS[1], unpack(ids))
