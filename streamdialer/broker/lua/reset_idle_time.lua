-- After the server's clock was set back, pending entries seem to be in use until it has caught up: their idle time begins
-- anew, once per change. Whoever works on an entry renews it, whoever died does not.
-- KEYS 1 stream, 2 server
-- ARGV group
-- Returns how many entries began anew
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
