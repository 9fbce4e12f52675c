-- After a change of the campaign's calling hours or caps, the contacts they have deferred are checked again.
-- In the totals:
--   recheck     how far that is (recheck_deferred.lua); missing when nothing is to be checked
--   hours_mark  mark of the calling hours of the last claim (`rules/calling_hours.py`)
-- lib/call_history.lua does the same for changed caps.

-- Stores the mark. Returns whether deferred contacts are to be checked again.
local function save_hours_mark(mark)
  local stored = redis.call('HMGET', totals, 'hours_mark', 'recheck')
  if stored[1] ~= mark then redis.call('HSET', totals, 'hours_mark', mark) end
  if not stored[1] or stored[1] == mark then return stored[2] ~= false end
  redis.call('HSET', totals, 'recheck', '0 1')
  return true
end
