-- Starts the idle time of pending entries anew after the server's clock was set back, once per change: else
-- they would seem to be in use until the clock has caught up. A consumer that works on an entry renews it.
-- KEYS 1 stream, 2 server
-- ARGV group
-- Returns how many entries this was done for
local stream, server, group = KEYS[1], KEYS[2], ARGV[1]
local field = 'idle:' .. stream
local stored = redis.call('HMGET', server, 'clock_regressions', field)
if not stored[1] or stored[1] == stored[2] then return 0 end
redis.call('HSET', server, field, stored[1])
local reset, from = 0, '-'
while true do
  local pending = redis.call('XPENDING', stream, group, from, '+', 500)
  for _, entry in ipairs(pending) do
    redis.call('XCLAIM', stream, group, entry[2], 0, entry[1], 'IDLE', 0, 'RETRYCOUNT', entry[4], 'JUSTID')
  end
  reset = reset + #pending
  if #pending < 500 then return reset end
  from = '(' .. pending[#pending][1]
end
