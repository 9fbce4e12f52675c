-- An entry is done: acknowledged and deleted together, so that the stream's length is the work left.
-- KEYS 1 stream
-- ARGV group, entry ids
-- Returns the number deleted
local stream, group = KEYS[1], ARGV[1]
redis.call('XACK', stream, group, unpack(ARGV, 2))
return redis.call('XDEL', stream, unpack(ARGV, 2))
