-- Removes a process that stops.
-- KEYS 1 replicas, 2 their states
-- ARGV process
-- Returns "ok"
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 'ok'
