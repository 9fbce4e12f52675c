-- Starts a dial tick: from now on another dial tick of its campaign may be added. Says what the tick must refresh
-- first. When the last decision found no contact that may be placed, there is still none, no call is live, and nothing
-- else asks for a decision, the tick ends here.
-- KEYS 1 waiting ticks, 2 public hash, 3 directory, 4 ready, 5 queue's state, 6 server, 7 campaign's agent
--   callbacks, 8 queue's free agents, 9 those whom an event has freed, 10 the backend's pause, 11 the Dialer API's,
--   12 result of the tick, 13 totals, 14 reserved, 15 dialing, 16 connected, 17 queue's other agents
-- ARGV campaign, tick id, the queue of KEYS 5, 8, 9 and 17, the result of a tick that ends here (JSON without its last
--   brace and available_agents, '' = it does not), how long that is kept ms, how long lost calls may be silent ms, when the tick of the last
--   decision began ms
-- Returns JSON: `TickStart` (`ledger/ticks.py`)
-- In the totals: inactive_ms  when a tick last found the campaign paused or ended
-- uses: clock data_loss agent_callback_order agent_lists server_pauses
local campaign = ARGV[1]
if redis.call('HGET', KEYS[1], campaign) == ARGV[2] then redis.call('HDEL', KEYS[1], campaign) end
local ledger_ms, server_ms = ledger_clock(KEYS[6])
local queue = redis.call('HGET', KEYS[3], campaign) or ''
local status = redis.call('HGET', KEYS[2], 'status') or nil
local ready = count_placeable(KEYS[4], KEYS[7], KEYS[8], server_ms)
if status and status ~= 'active' and queue ~= '' then
  redis.call('HSET', KEYS[13], 'inactive_ms', string.format('%.0f', ledger_ms))
end

local function count(set) return redis.call('ZCARD', set) end

local function is_over()
  if ARGV[4] == '' or ready > 0 or status ~= 'active' or queue ~= ARGV[3] then return nil end
  if server_trouble(KEYS[6], ledger_ms, tonumber(ARGV[6])) then return nil end
  if count(KEYS[14]) + count(KEYS[15]) + count(KEYS[16]) > 0 then return nil end -- of another replica's decision
  local epoch = redis.call('HGET', KEYS[6], 'rebuild_epoch') or ''
  local rebuilt, recheck, inactive_ms =
    unpack(redis.call('HMGET', KEYS[13], 'rebuilt', 'recheck', 'inactive_ms'))
  if epoch ~= '' and rebuilt ~= epoch then return nil end
  if recheck then return nil end -- it goes on with each decision
  -- The newest record says that the campaign is not active.
  if inactive_ms and tonumber(inactive_ms) > tonumber(ARGV[7]) then return nil end
  local free = count(KEYS[8])
  redis.call('HSET', KEYS[2], 'available_agents', free, 'busy_agents', count(KEYS[17]), 'updated_at', iso(server_ms))
  local result = string.format('%s,"available_agents":%d,"at":%.0f}', ARGV[4], free, server_ms)
  redis.call('SET', KEYS[12], result, 'PX', ARGV[5], 'NX')
  return true
end

return cjson.encode({
  server_ms = server_ms,
  ledger_ms = ledger_ms,
  status = status,
  queue = queue,
  ready = ready,
  is_over = is_over(),
  agents_polled_ms = queue == ARGV[3] and listed_ms(KEYS[5], ledger_ms) or 0,
  freed = queue == ARGV[3] and count(KEYS[9]) or 0,
  backend_paused_ms = paused_ms(KEYS[10], ledger_ms),
  dialer_api_paused_ms = paused_ms(KEYS[11], ledger_ms),
})
