-- Adds entries that say how things are now, unless too much time has passed since they were looked at.
-- KEYS 1 stream
-- ARGV when it was looked at (server ms), ms for which that holds, type of the entries, then the data of each
-- Returns the last entry's id · '' they are too old
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if server_ms - ARGV[1] > tonumber(ARGV[2]) then return '' end
local entry
for i = 4, #ARGV do entry = redis.call('XADD', KEYS[1], '*', 'type', ARGV[3], 'data', ARGV[i]) end
return entry
