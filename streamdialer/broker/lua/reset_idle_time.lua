-- When the server's clock is set back, pending entries seem to be in use until it catches up. So their idle time restarts,
-- once per change. A consumer that works on an entry renews it; a dead one does not.
-- KEYS 1 stream, 2 server
-- ARGV group
-- Returns how many entries were restarted
local stream, server, group = KEYS[1], KEYS[2], ARGV[1]
local field = 'idle:' .. stream
local stored = redis.call('HMGET', server, 'clock_regressions', field)
if not stored[1] or stored[1] == stored[2] then return 0 end
redis.call('HSET', server, field, stored[1])
local begun, from = 0, '-'
while true do
  local pending = redis.call('XPENDING', stream, group, from, '+', 500)
  for _, entry in ipairs(pending) do
    redis.call('XCLAIM', stream, group, entry[2], 0, entry[1], 'IDLE', 0, 'RETRYCOUNT', entry[4], 'JUSTID')
  end
  begun = begun + #pending
  if #pending < 500 then return begun end
  from = '(' .. pending[#pending][1]
end
