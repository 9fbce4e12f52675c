-- Starts a dial tick: from now on another dial tick of its campaign may be added. Says what the tick must refresh
-- first. When the last decision found no contact that may be placed, there is still none, and no data was lost, the
-- tick ends here.
-- KEYS 1 waiting ticks, 2 public hash, 3 directory, 4 ready, 5 queue's state, 6 server, 7 campaign's agent
--   callbacks, 8 queue's free agents, 9 those whom an event has freed, 10 the backend's pause, 11 the Dialer API's,
--   12 result of the tick, 13 totals
-- ARGV campaign, tick id, the queue of KEYS 5, 8 and 9, the result of a tick that ends here (JSON without its last
--   brace, '' = it does not), how long that is kept ms, how long lost calls may be silent ms
-- Returns JSON: `TickStart` (`ledger/ticks.py`)
-- uses: clock data_loss agent_callback_order agent_lists server_pauses
local campaign = ARGV[1]
if redis.call('HGET', KEYS[1], campaign) == ARGV[2] then redis.call('HDEL', KEYS[1], campaign) end
local ledger_ms, server_ms = ledger_clock(KEYS[6])
local queue = redis.call('HGET', KEYS[3], campaign) or ''
local status = redis.call('HGET', KEYS[2], 'status') or nil
local ready = count_placeable(KEYS[4], KEYS[7], KEYS[8], server_ms)

local function is_over()
  if ARGV[4] == '' or ready > 0 or status ~= 'active' or queue ~= ARGV[3] then return nil end
  if server_trouble(KEYS[6], ledger_ms, tonumber(ARGV[6])) then return nil end
  local epoch = redis.call('HGET', KEYS[6], 'rebuild_epoch')
  if epoch and epoch ~= '' and redis.call('HGET', KEYS[13], 'rebuilt') ~= epoch then return nil end
  redis.call('SET', KEYS[12], string.format('%s,"at":%.0f}', ARGV[4], server_ms), 'PX', ARGV[5], 'NX')
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
  freed = queue == ARGV[3] and redis.call('ZCARD', KEYS[9]) or 0,
  backend_paused_ms = paused_ms(KEYS[10]),
  dialer_api_paused_ms = paused_ms(KEYS[11]),
})
