-- Adds a tick for each of these campaigns, unless it is there already: a periodic tick once per time slot,
-- however many producers run, and a dial tick only when no dial tick of the campaign is in the stream. The slots of each
-- campaign begin at a time of their own, so that the ticks of many campaigns do not come all at once. A dial tick that
-- is added at once, by an event, takes the place of the periodic one within the next interval. Dial, retry and
-- statistics ticks are for active campaigns. Cleanup ticks are for campaigns that are completed, cancelled or
-- without a public hash.
-- KEYS 1 ticks, 2 waiting ticks, 3 tick slots, 4 server, 5 directory, then the public hash of each campaign
-- ARGV kind, interval ms (0 = now, in whatever slot), then the campaigns in the order of KEYS, then the
--   `traceparent` of each ('' = none; all are left out when there is none)
-- Returns the ids of the ticks added, '' for each campaign without one
-- uses: clock ids
local kind, interval = ARGV[1], tonumber(ARGV[2])
local ledger_ms = ledger_clock(KEYS[4])
local added = {}
local campaigns = #KEYS - 5
for i = 3, campaigns + 2 do
  local campaign, id = ARGV[i], ''
  local status = redis.call('HGET', KEYS[i + 3], 'status')
  local is_due = status == 'active'
  local field = kind .. ':' .. campaign
  local function note_tick(at_ms) redis.call('HSET', KEYS[3], field, string.format('%.0f', at_ms)) end
  if kind == 'cleanup' then
    local is_over = not status or status == 'completed' or status == 'cancelled'
    is_due = is_over and redis.call('HEXISTS', KEYS[5], campaign) == 1
  end
  if is_due and interval > 0 then
    local phase = tonumber(string.sub(redis.sha1hex(campaign), 1, 8), 16)
    local slot = ledger_ms - (ledger_ms - phase) % interval
    local last = tonumber(redis.call('HGET', KEYS[3], field))
    if kind == 'cleanup' and not last then -- it has just ended: its keys stay for one interval
      note_tick(ledger_ms)
      is_due = false
    elseif kind == 'cleanup' then
      is_due = ledger_ms - last >= interval
      if is_due then note_tick(ledger_ms) end
    else
      is_due = not last or ledger_ms - last >= interval
      if is_due then note_tick(slot) end
    end
  end
  if is_due and kind == 'dial' then
    local queued = redis.call('HGET', KEYS[2], campaign)
    is_due = not queued or #redis.call('XRANGE', KEYS[1], queued, queued) == 0
  end
  if is_due then
    local tick, trace = { 'kind', kind, 'campaign_id', plain_id(campaign) }, ARGV[i + campaigns] or ''
    local function add(name, value) tick[#tick + 1], tick[#tick + 2] = name, value end
    if interval == 0 then add('wake', '1') end
    if trace ~= '' then add('traceparent', trace) end
    id = redis.call('XADD', KEYS[1], '*', unpack(tick))
    if kind == 'dial' then redis.call('HSET', KEYS[2], campaign, id) end
    if kind == 'dial' and interval == 0 then note_tick(ledger_ms) end
  end
  added[#added + 1] = id
end
return added
