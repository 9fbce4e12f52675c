-- Acknowledges and deletes entries that are done, so that the stream's length is the work left.
-- KEYS 1 stream
-- ARGV group, entry ids
-- Returns how many were deleted
local stream, group = KEYS[1], ARGV[1]
redis.call('XACK', stream, group, unpack(ARGV, 2))
return redis.call('XDEL', stream, unpack(ARGV, 2))
