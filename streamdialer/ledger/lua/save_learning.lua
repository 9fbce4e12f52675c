-- Keeps what pacing has learnt, unless somebody else has meanwhile.
-- KEYS 1 what the queue's pacing has learnt
-- ARGV version it was read at, learning (JSON), id of the newest thing seen that it contains
-- Returns "ok" · "stale" somebody else has kept a newer one
if tonumber(redis.call('HGET', KEYS[1], 'version') or 0) ~= tonumber(ARGV[1]) then
  if redis.call('HGET', KEYS[1], 'learning') == ARGV[2] then return 'ok' end -- the same call again
  return 'stale'
end
redis.call('HSET', KEYS[1], 'learning', ARGV[2], 'read', ARGV[3], 'version', ARGV[1] + 1)
redis.call('PEXPIRE', KEYS[1], 2678400000) -- a month without dialing
return 'ok'
