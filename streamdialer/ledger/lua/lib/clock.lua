-- The ledger's clock follows the server's clock but never goes back. When the server's clock is set
-- back, the ledger's clock goes on from where it was, a tenth slower, until the server has caught up. The
-- hash `server` keeps it:
--   last               newest reading, ms
--   clock_offset       how far the ledger's clock is ahead of the server's, ms
--   clock_regressions  how often the server's clock was set back by more than a second

-- Returns two times in ms. The ledger's: compare it with times the ledger has noted. The server's: compare it
-- with times of people and other programs.
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
    redis.call('HSET', server, 'last', string.format('%.0f', ledger_ms),
      'clock_offset', string.format('%.0f', clock_offset - slowed))
  end
  return ledger_ms, server_ms
end

-- Returns when a stream entry was written, by the ledger's clock. An id ahead of the server's time was
-- written after the server's clock was set back, when ids stand still; it counts as written now.
local function written_at(entry, ledger_ms, server_ms)
  local ms = tonumber(string.match(entry, '^%d+'))
  return ms > server_ms and ledger_ms or ms + (ledger_ms - server_ms)
end

-- Returns a time of people and other programs in words.
local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local days, rest = math.floor(seconds / 86400), seconds % 86400
  local z = days + 719468 -- civil date from days, H. Hinnant, "chrono-compatible low-level date algorithms"
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', year, month, day,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60)
end
