-- Stores what a queue's pacing has learnt, unless another replica has stored something newer.
-- KEYS 1 queue's learning
-- ARGV version that was read, learning (JSON), id of the newest observation it contains
-- Returns "ok" · "stale" another replica has stored a newer version
if tonumber(redis.call('HGET', KEYS[1], 'version') or 0) ~= tonumber(ARGV[1]) then
  if redis.call('HGET', KEYS[1], 'learning') == ARGV[2] then return 'ok' end -- the same call again
  return 'stale'
end
redis.call('HSET', KEYS[1], 'learning', ARGV[2], 'read', ARGV[3], 'version', ARGV[1] + 1)
redis.call('PEXPIRE', KEYS[1], 2678400000) -- a month without dialing
return 'ok'
