-- Notes the state of a campaign for the chart of its last half hour, not more often than asked for. The
-- number of samples is bounded. A sample is a JSON list in the order of `Sample` in `ledger/samples.py`.
-- KEYS 1 directory, 2 samples, 3 totals, 4 ready, 5 deferred, 6 reserved, 7 dialing, 8 connected, 9 queue's
--   free agents, 10 queue's agent activity
-- ARGV campaign, shortest time between two samples ms, most samples kept, how long they are kept ms, contacts
--   the Dialer API counts as pending ('' = it does not say)
-- Returns "ok" · "early" · "unknown" the ledger does not know the campaign
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 'unknown' end
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = redis.call('LINDEX', KEYS[2], 0)
local passed = newest and server_ms - cjson.decode(newest)[1]
if passed and passed >= 0 and passed < tonumber(ARGV[2]) then return 'early' end
local agents = { t = 0, w = 0 } -- talking, in wrap-up (lib/agent_activity.lua)
for _, activity in ipairs(redis.call('HVALS', KEYS[10])) do
  local code = string.sub(activity, 1, 1)
  agents[code] = (agents[code] or 0) + 1
end
local totals = redis.call('HMGET', KEYS[3], 'total_calls', 'answered_calls', 'abandoned')
redis.call('LPUSH', KEYS[2], cjson.encode({
  server_ms, tonumber(totals[1] or 0), tonumber(totals[2] or 0), tonumber(totals[3] or 0),
  redis.call('ZCARD', KEYS[9]), agents.t, agents.w,
  redis.call('ZCARD', KEYS[6]) + redis.call('ZCARD', KEYS[7]), redis.call('ZCARD', KEYS[8]),
  redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[5]), tonumber(ARGV[5]) or cjson.null,
}))
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 'ok'
