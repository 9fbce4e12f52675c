-- Adds an entry that says how things are now, unless too much time has passed since they were looked at.
-- KEYS 1 stream
-- ARGV when it was looked at (server ms), ms for which that holds, then fields and values
-- Returns the entry's id · '' it is too old
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if server_ms - ARGV[1] > tonumber(ARGV[2]) then return '' end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
