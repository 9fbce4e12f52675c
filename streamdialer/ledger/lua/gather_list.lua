-- Keeps a part of a list that is too long for one entry, until all parts have come.
-- KEYS 1 the list's parts
-- ARGV number of the part, of how many, id of its entry, its items (JSON), how long it waits for the others ms
-- Returns {} while parts are missing, else `<id of its entry> <its items>` of each part
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) and {} or redis.call('HVALS', KEYS[1])
