-- Notes that a registry was asked, unless a newer query of it is known.
-- KEYS 1 server
-- ARGV registry, when it was asked (server's ms), how many numbers its answer had
-- Returns 1 · 0 a newer query is known
local field, imported_ms = 'registry:' .. ARGV[1], redis.call('TIME')[1] * 1000
local stored = redis.call('HGET', KEYS[1], field)
if stored and tonumber(string.match(stored, '^%d+')) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], field, table.concat({ ARGV[2], string.format('%.0f', imported_ms), ARGV[3] }, ' '))
return 1
