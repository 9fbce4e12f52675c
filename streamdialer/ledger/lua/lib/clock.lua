-- The ledger's clock: the server's, except that it does not go back. After the server's clock was set back it goes on from
-- where it was, a tenth slower, until the server has caught up. Kept in the `server` hash as `last` and `ahead`;
-- `set_back` counts how often that was.

-- Returns now (ms, for everything that is compared with what the ledger noted before) and the server's own time (ms, for
-- everything that people or other programs compare with their calendar).
local function ledger_clock(server)
  local time = redis.call('TIME')
  local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local stored = redis.call('HMGET', server, 'last', 'clock_offset')
  local last, clock_offset = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
  local passed = server_ms + clock_offset - last
  local was_set_back = passed < 0
  if was_set_back then
    if passed < -1000 then redis.call('HINCRBY', server, 'clock_regressions', 1) end
    clock_offset, passed = last - server_ms, 0
  end
  local slowed = math.min(clock_offset, math.floor(passed / 10))
  local ledger_ms = last + passed - slowed
  if was_set_back or passed >= 100 then -- one write per tenth of a second, not per script
    redis.call('HSET', server, 'last', string.format('%.0f', ledger_ms), 'clock_offset', string.format('%.0f', clock_offset - slowed))
  end
  return ledger_ms, server_ms
end

-- When a stream entry was written, on the ledger's clock; an id from the server's future was written after its clock was
-- set back, when ids stand still: just now, then.
local function written_at(entry, ledger_ms, server_ms)
  local ms = tonumber(string.match(entry, '^%d+'))
  return ms > server_ms and ledger_ms or ms + (ledger_ms - server_ms)
end
