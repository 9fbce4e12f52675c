-- Starts a dial tick: from now on another dial tick of its campaign may be added. Says what the tick must refresh
-- first.
-- KEYS 1 waiting ticks, 2 public hash, 3 directory, 4 ready, 5 queue's state, 6 server, 7 campaign's agent
--   callbacks, 8 queue's free agents, 9 those whom an event has freed, 10 the backend's pause, 11 the Dialer API's
-- ARGV campaign, tick id, the queue of KEYS 5, 8 and 9
-- Returns JSON: `TickStart` (`ledger/ticks.py`)
-- uses: clock agent_callback_order agent_lists server_pauses
local campaign = ARGV[1]
if redis.call('HGET', KEYS[1], campaign) == ARGV[2] then redis.call('HDEL', KEYS[1], campaign) end
local ledger_ms, server_ms = ledger_clock(KEYS[6])
local queue = redis.call('HGET', KEYS[3], campaign) or ''
local polled_ms = queue == ARGV[3] and listed_ms(KEYS[5], ledger_ms) or 0
return cjson.encode({
  server_ms = server_ms,
  ledger_ms = ledger_ms,
  status = redis.call('HGET', KEYS[2], 'status') or nil,
  queue = queue,
  ready = count_placeable(KEYS[4], KEYS[7], KEYS[8], server_ms),
  agents_polled_ms = polled_ms,
  freed = queue == ARGV[3] and redis.call('ZCARD', KEYS[9]) or 0,
  backend_paused_ms = paused_ms(KEYS[10]),
  dialer_api_paused_ms = paused_ms(KEYS[11]),
})
