-- Which campaigns need a sweep.
-- KEYS 1 due
-- ARGV most
-- Returns their ids, the longest overdue first
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
