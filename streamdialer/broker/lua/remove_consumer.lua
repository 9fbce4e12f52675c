-- Removes a consumer that has nothing pending.
-- KEYS 1 stream
-- ARGV group, consumer
-- Returns 1 removed · 0 it still has entries, or does not exist
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
