-- Sums contacts, calls and agents over campaigns and their queues, for metrics. Changes nothing.
-- KEYS 1 server, then per campaign: public hash, ready, deferred, reserved, dialing, connected, orphaned, its
--   queue's pacing; then per queue: free agents, busy agents
-- ARGV the campaigns in the order of KEYS
-- Returns JSON {ready, deferred, reserved, dialing, connected, orphaned, silent = dialing past their
--   deadline, free, busy, auto_paused = campaigns that have paused themselves, active = [[active campaign, its pacing JSON ('' = none)], …]?}
local time = redis.call('TIME')
local clock_offset = tonumber(redis.call('HGET', KEYS[1], 'clock_offset') or 0)
-- the ledger's clock, to a tenth of a second
local ledger_ms = time[1] * 1000 + math.floor(time[2] / 1000) + clock_offset
local sums, active = { silent = 0, free = 0, busy = 0, auto_paused = 0 }, {}
local STATES = { 'ready', 'deferred', 'reserved', 'dialing', 'connected', 'orphaned' }
for _, state in ipairs(STATES) do sums[state] = 0 end

local at = 2
for _, campaign in ipairs(ARGV) do
  for i, state in ipairs(STATES) do sums[state] = sums[state] + redis.call('ZCARD', KEYS[at + i]) end
  sums.silent = sums.silent + redis.call('ZCOUNT', KEYS[at + 4], '-inf', '(' .. string.format('%.0f', ledger_ms))
  local public = redis.call('HMGET', KEYS[at], 'status', 'auto_paused')
  if public[1] == 'paused' and public[2] then sums.auto_paused = sums.auto_paused + 1 end
  if public[1] == 'active' then
    active[#active + 1] = { campaign, redis.call('HGET', KEYS[at + 7], campaign) or '' }
  end
  at = at + 8
end
while at < #KEYS do
  sums.free = sums.free + redis.call('ZCARD', KEYS[at])
  sums.busy = sums.busy + redis.call('ZCARD', KEYS[at + 1])
  at = at + 2
end
sums.active = #active > 0 and active or nil
return cjson.encode(sums)
