-- When the campaign's hours have changed, whoever was put off by them is looked at again; after its caps have, lib/call_history.lua says so.
-- In the totals: `again` = where that stands (recheck_deferred.lua), `hours` = the mark of the hours of the last claim (`rules/calling.py`).

-- Keeps the mark; returns whether there is somebody to be looked at again.
local function keep_hours(mark)
  local stored = redis.call('HMGET', totals, 'hours', 'again')
  if stored[1] ~= mark then redis.call('HSET', totals, 'hours', mark) end
  if not stored[1] or stored[1] == mark then return stored[2] ~= false end
  redis.call('HSET', totals, 'again', '0 1')
  return true
end
