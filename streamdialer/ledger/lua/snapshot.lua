-- Everything pacing needs to know of a queue, read in one instant.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 queue's state, 4 queue's campaigns, 5 queue's pacing, 6 api,
--   7 server, then
--   per campaign: public hash, ready, reserved, unanswered, connected
-- ARGV the campaigns, in the order of KEYS
-- Returns JSON {now, free, busy, polled, resting, campaigns: [{id, status, ready, placed, connected, served, pacing, held}]}
--   or "queue_changed": the campaigns of the queue are not those passed
-- uses: clock
local now = ledger_clock(KEYS[7])
local members = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
local served = {}
for i = 1, #members, 2 do served[members[i]] = tonumber(members[i + 1]) end
local wanted = {}
for _, id in ipairs(ARGV) do wanted[id] = true end
for id in pairs(served) do
  if not wanted[id] then return 'queue_changed' end
end

local campaigns = {}
for i, id in ipairs(ARGV) do
  local at = 8 + (i - 1) * 5
  campaigns[i] = {
    id = id,
    status = redis.call('HGET', KEYS[at], 'status') or '',
    ready = redis.call('ZCARD', KEYS[at + 1]),
    placed = redis.call('ZCARD', KEYS[at + 2]) + redis.call('ZCARD', KEYS[at + 3]),
    connected = redis.call('ZCARD', KEYS[at + 4]),
    served = served[id] or 0,
    pacing = redis.call('HGET', KEYS[5], id) or '',
    held = tonumber(redis.call('HGET', KEYS[6], 'c:' .. id) or 0) > now,
  }
end
return cjson.encode({
  now = now,
  free = redis.call('ZCARD', KEYS[1]),
  busy = redis.call('ZCARD', KEYS[2]),
  polled = tonumber(redis.call('HGET', KEYS[3], 'polled') or 0),
  campaigns = campaigns,
})
