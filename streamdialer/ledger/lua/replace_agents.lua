-- Takes over the backend's list of a queue's agents. What events have said since the list was requested
-- stays.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 queue's state, 4 agents, 5 queue's agent activity
-- ARGV queue, when the list was requested (ledger ms), then per agent: id, state ('available' | 'busy' |
--   'wrapup' | 'offline')
-- Returns "ok" · "stale" a list requested later is already here
-- uses: observations agent_activity
local asked_ms = tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[3], 'polled') or 0) > asked_ms then return 'stale' end
local listed = {}
for i = 3, #ARGV, 2 do
  local agent, set, other = ARGV[i], KEYS[1], KEYS[2]
  if ARGV[i + 1] ~= 'available' then set, other = other, set end
  listed[agent] = true
  local seen_ms = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or 0)
  if seen_ms <= asked_ms then
    redis.call('ZREM', other, agent)
    redis.call('ZADD', set, ARGV[2], agent)
    redis.call('HSET', KEYS[4], agent, ARGV[1])
    local activity = ACTIVITY_CODES[ARGV[i + 1]]
    local stored = redis.call('HGET', KEYS[5], agent)
    if not activity then
      redis.call('HDEL', KEYS[5], agent)
    elseif not stored or string.sub(stored, 1, 1) ~= activity then -- its beginning is not known: now at the latest
      redis.call('HSET', KEYS[5], agent, activity .. ':' .. ARGV[2])
    end
  end
end
for k = 1, 2 do
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', asked_ms)) do
    if not listed[agent] then
      redis.call('ZREM', KEYS[k], agent)
      redis.call('HDEL', KEYS[5], agent)
      if redis.call('HGET', KEYS[4], agent) == ARGV[1] then redis.call('HDEL', KEYS[4], agent) end
    end
  end
end
redis.call('HSET', KEYS[3], 'polled', ARGV[2])
for _, k in ipairs({ 1, 2, 3, 5 }) do redis.call('PEXPIRE', KEYS[k], 86400000) end -- a queue that is no longer dialed
return 'ok'
