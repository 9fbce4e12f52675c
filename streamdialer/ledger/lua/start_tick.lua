-- A dial tick is being run: the next wake-up of its campaign may add another.
-- KEYS 1 waiting ticks
-- ARGV campaign, tick id
-- Returns Redis time, ms
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
