-- One process at a time rebuilds a campaign; the others would read the same pages of the backend. Two fields of the
-- totals say who: `rebuilder`, its token, and `rebuilding_until`, until when the others wait, ledger ms.

-- Returns false while another process rebuilds the campaign.
local function hold_rebuild(token, for_ms)
  local stored = redis.call('HMGET', totals, 'rebuilder', 'rebuilding_until')
  if stored[1] and stored[1] ~= token and ledger_ms < tonumber(stored[2]) then return false end
  redis.call('HSET', totals, 'rebuilder', token, 'rebuilding_until', format_number(ledger_ms + for_ms))
  return true
end

local function is_being_rebuilt()
  return ledger_ms < tonumber(redis.call('HGET', totals, 'rebuilding_until') or 0)
end

local function end_rebuild() redis.call('HDEL', totals, 'rebuilder', 'rebuilding_until') end
