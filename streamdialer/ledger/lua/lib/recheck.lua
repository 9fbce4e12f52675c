-- After a change of the campaign's calling hours or caps, the contacts they have deferred are checked again.
-- In the totals:
--   recheck            how far the check is (recheck_deferred.lua); missing when nothing is to be checked
--   hours_fingerprint  fingerprint of the last claim's calling hours (`rules/calling_hours.py`)
-- lib/call_history.lua does the same for changed caps.

-- Stores the fingerprint. Returns whether deferred contacts are to be checked again.
local function save_hours_fingerprint(fingerprint)
  local stored = redis.call('HMGET', totals, 'hours_fingerprint', 'recheck')
  if stored[1] ~= fingerprint then redis.call('HSET', totals, 'hours_fingerprint', fingerprint) end
  if not stored[1] or stored[1] == fingerprint then return stored[2] ~= false end
  redis.call('HSET', totals, 'recheck', '0 1')
  return true
end
