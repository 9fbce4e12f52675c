-- Takes over the backend's list of a queue's agents; news written after the list was asked for stays.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 queue's state, 4 agents, 5 queue's work
-- ARGV queue, when the list was asked for (ledger ms), then per agent: id, state ('available' | 'busy' | 'wrapup' | 'offline')
-- Returns "ok" · "stale" a list asked for later is already here
-- uses: observations agent_activity
local asked = tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[3], 'polled') or 0) > asked then return 'stale' end
local listed = {}
for i = 3, #ARGV, 2 do
  local agent, set, other = ARGV[i], KEYS[1], KEYS[2]
  if ARGV[i + 1] ~= 'available' then set, other = other, set end
  listed[agent] = true
  local heard = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or 0)
  if heard <= asked then
    redis.call('ZREM', other, agent)
    redis.call('ZADD', set, ARGV[2], agent)
    redis.call('HSET', KEYS[4], agent, ARGV[1])
    local now_does = WORK[ARGV[i + 1]]
    local does = redis.call('HGET', KEYS[5], agent)
    if not now_does then
      redis.call('HDEL', KEYS[5], agent)
    elseif not does or string.sub(does, 1, 1) ~= now_does then -- since when is not known: since now at the latest
      redis.call('HSET', KEYS[5], agent, now_does .. ':' .. ARGV[2])
    end
  end
end
for k = 1, 2 do
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', asked)) do
    if not listed[agent] then
      redis.call('ZREM', KEYS[k], agent)
      redis.call('HDEL', KEYS[5], agent)
      if redis.call('HGET', KEYS[4], agent) == ARGV[1] then redis.call('HDEL', KEYS[4], agent) end
    end
  end
end
redis.call('HSET', KEYS[3], 'polled', ARGV[2])
for _, k in ipairs({ 1, 2, 3, 5 }) do redis.call('PEXPIRE', KEYS[k], 86400000) end -- a queue nobody dials any more
return 'ok'
