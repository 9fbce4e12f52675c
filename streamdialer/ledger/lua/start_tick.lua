-- Notes that a dial tick has been taken from the stream: from now on another dial tick of its campaign may be
-- added.
-- KEYS 1 waiting ticks
-- ARGV campaign, tick id
-- Returns the server's time, ms
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
