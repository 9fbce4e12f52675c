-- Adds ticks for campaigns, each at most once: a periodic tick once per time slot whoever writes it, a dial tick only if
-- none of that campaign waits. A dial, retry or statistics tick is for active campaigns only, cleanup for ended ones and
-- for those whose public hash has gone.
-- KEYS 1 ticks, 2 waiting ticks, 3 slots, 4 server, 5 directory, then the public hash of each campaign
-- ARGV kind, interval ms (0 = now, whatever the slot), then the campaigns in the order of KEYS, then the `traceparent` of
--   each ('' = none; left out when there is none at all)
-- Returns the ids of the ticks added, '' where none was
-- uses: clock
local kind, interval = ARGV[1], tonumber(ARGV[2])
local ledger_ms = ledger_clock(KEYS[4])
local added = {}
local campaigns = #KEYS - 5
for i = 3, campaigns + 2 do
  local campaign, id = ARGV[i], ''
  local status = redis.call('HGET', KEYS[i + 3], 'status')
  local wanted = status == 'active'
  if kind == 'cleanup' then
    local is_over = not status or status == 'completed' or status == 'cancelled'
    wanted = is_over and redis.call('HEXISTS', KEYS[5], campaign) == 1
  end
  if wanted and interval > 0 then
    local field, slot = kind .. ':' .. campaign, ledger_ms - ledger_ms % interval
    local last = tonumber(redis.call('HGET', KEYS[3], field))
    if kind == 'cleanup' and not last then -- ended just now: its keys stay for one interval
      redis.call('HSET', KEYS[3], field, string.format('%.0f', ledger_ms))
      wanted = false
    elseif kind == 'cleanup' then
      wanted = ledger_ms - last >= interval
      if wanted then redis.call('HSET', KEYS[3], field, string.format('%.0f', ledger_ms)) end
    else
      wanted = not last or last < slot
      if wanted then redis.call('HSET', KEYS[3], field, string.format('%.0f', slot)) end
    end
  end
  if wanted and kind == 'dial' then
    local waits = redis.call('HGET', KEYS[2], campaign)
    wanted = not waits or #redis.call('XRANGE', KEYS[1], waits, waits) == 0
  end
  if wanted then
    local tick, trace = { 'kind', kind, 'campaign_id', campaign }, ARGV[i + campaigns] or ''
    local function add(name, value) tick[#tick + 1], tick[#tick + 2] = name, value end
    if interval == 0 then add('wake', '1') end
    if trace ~= '' then add('traceparent', trace) end
    id = redis.call('XADD', KEYS[1], '*', unpack(tick))
    if kind == 'dial' then redis.call('HSET', KEYS[2], campaign, id) end
  end
  added[#added + 1] = id
end
return added
