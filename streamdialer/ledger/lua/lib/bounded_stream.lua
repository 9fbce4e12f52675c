-- A bounded stream that is only history. When someone has written an entry with the last possible id, after which it
-- takes no other entry, it begins anew.
local function append_bounded(stream, most, fields)
  local answer = redis.pcall('XADD', stream, 'MAXLEN', '~', most, '*', unpack(fields))
  if not answer.err then return end
  redis.call('DEL', stream)
  redis.call('XADD', stream, '*', unpack(fields))
end
