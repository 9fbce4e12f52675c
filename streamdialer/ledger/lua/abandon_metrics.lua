-- Counts calls answered by a person and calls abandoned in the last hours, per campaign. Changes nothing.
-- KEYS 1 server, then the totals of each campaign
-- ARGV hours of each campaign's window, in the order of KEYS
-- Returns JSON [[answered by a person, abandoned], …]
-- uses: abandon_window
local time = redis.call('TIME')
local ledger_ms = time[1] * 1000 + tonumber(redis.call('HGET', KEYS[1], 'clock_offset') or 0)
local counts = {}
for i, hours in ipairs(ARGV) do counts[i] = { abandon_window(KEYS[i + 1], ledger_ms, tonumber(hours)) } end
return cjson.encode(counts)
