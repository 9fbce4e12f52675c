-- Ids of stream entries, compared by their whole: after the server's clock was set back, the time in them stands still and
-- only their sequence number grows.

local function is_id_after(one, other)
  local ms, sequence = string.match(one, '^(%d+)%-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)%-(%d+)$')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms > other_ms or ms == other_ms and tonumber(sequence) > tonumber(other_sequence)
end

-- Returns the id of the newest entry a stream has had, nil when there is no stream.
local function last_generated_id(stream)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err and not string.find(info.err, 'no such key', 1, true) then error(info.err) end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end
