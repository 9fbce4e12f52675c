-- Contacts, calls, agents and abandoned calls, summed over campaigns and their queues; for metrics. Writes nothing.
-- KEYS 1 server, then per campaign: public hash, ready, waiting, reserved, unanswered, connected, in doubt, totals, queue's
--   pacing; then per queue: free agents, busy agents
-- ARGV the campaigns in the order of KEYS
-- Returns JSON {active, ready, waiting, reserved, unanswered, connected, silent, forgotten, people, abandoned, over, worst,
--   free, busy}; of the active campaigns, `over` have an abandon rate above their cap, `worst` is the highest rate divided by
--   its cap
local time = redis.call('TIME')
local ahead = tonumber(redis.call('HGET', KEYS[1], 'ahead') or 0)
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ahead -- the ledger's clock, to a tenth of a second
local sums = { active = 0, people = 0, abandoned = 0, over = 0, worst = 0, silent = 0, free = 0, busy = 0 }
local PLACES = { 'ready', 'waiting', 'reserved', 'unanswered', 'connected', 'forgotten' }
for _, place in ipairs(PLACES) do sums[place] = 0 end

-- The sum of an hourly count over the last hours; fields as `lib/attempts.lua` writes them.
local function window(totals, letter, hours)
  local first, fields, sum = math.floor(now / 3600000) - hours + 1, {}, 0
  for hour = first, first + hours - 1 do fields[#fields + 1] = letter .. hour % 744 end
  for i, value in ipairs(redis.call('HMGET', totals, unpack(fields))) do
    local kept = tonumber(value or 0)
    if math.floor(kept / 1000000) == first + i - 1 then sum = sum + kept % 1000000 end
  end
  return sum
end

local at = 2
for _, campaign in ipairs(ARGV) do
  local is_active = redis.call('HGET', KEYS[at], 'status') == 'active'
  if is_active then sums.active = sums.active + 1 end
  for i, place in ipairs(PLACES) do sums[place] = sums[place] + redis.call('ZCARD', KEYS[at + i]) end
  sums.silent = sums.silent + redis.call('ZCOUNT', KEYS[at + 4], '-inf', '(' .. string.format('%.0f', now))
  local pacing = is_active and redis.call('HGET', KEYS[at + 8], campaign)
  if pacing then
    local limit = cjson.decode(pacing)
    local abandoned = window(KEYS[at + 7], 'b', limit.window_h)
    local people = window(KEYS[at + 7], 'p', limit.window_h)
    sums.people, sums.abandoned = sums.people + people, sums.abandoned + abandoned
    if abandoned > limit.cap * people then sums.over = sums.over + 1 end
    if people > 0 and limit.cap > 0 then
      sums.worst = math.max(sums.worst, abandoned / people / limit.cap)
    end
  end
  at = at + 9
end
while at < #KEYS do
  sums.free = sums.free + redis.call('ZCARD', KEYS[at])
  sums.busy = sums.busy + redis.call('ZCARD', KEYS[at + 1])
  at = at + 2
end
return cjson.encode(sums)
