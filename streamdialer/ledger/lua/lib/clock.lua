-- The ledger's clock: the server's, except that it does not go back. After the server's clock was set back it goes on from
-- where it was, a tenth slower, until the server has caught up. Kept in the `server` hash as `last` and `ahead`;
-- `set_back` counts how often that was.

-- Returns now (ms, for everything that is compared with what the ledger noted before) and the server's own time (ms, for
-- everything that people or other programs compare with their calendar).
local function ledger_clock(server)
  local time = redis.call('TIME')
  local wall = time[1] * 1000 + math.floor(time[2] / 1000)
  local kept = redis.call('HMGET', server, 'last', 'ahead')
  local last, ahead = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
  local passed = wall + ahead - last
  local was_set_back = passed < 0
  if was_set_back then
    if passed < -1000 then redis.call('HINCRBY', server, 'set_back', 1) end
    ahead, passed = last - wall, 0
  end
  local slowed = math.min(ahead, math.floor(passed / 10))
  local now = last + passed - slowed
  if was_set_back or passed >= 100 then -- one write per tenth of a second, not per script
    redis.call('HSET', server, 'last', string.format('%.0f', now), 'ahead', string.format('%.0f', ahead - slowed))
  end
  return now, wall
end

-- When a stream entry was written, on the ledger's clock; an id from the server's future was written after its clock was
-- set back, when ids stand still: just now, then.
local function written_at(entry, now, wall)
  local ms = tonumber(string.match(entry, '^%d+'))
  return ms > wall and now or ms + (now - wall)
end
