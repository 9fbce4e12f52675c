-- A campaign half of whose calls fail within two minutes pauses itself. lib/apply_facts.lua counts how calls go.
--   recent_calls  in the totals: 'slot calls failed' for each of the last slots of time, one after the other (CALLS_SLOT_MS)
--   auto_paused   in the public hash: why it has paused itself, until a person has started it again

-- Returns why the campaign has paused itself now; nil when it goes on. Call it for an active campaign. The pause is published on `channel`.
local function pauses_itself(channel)
  local FEWEST_CALLS, WINDOW_SLOTS = 20, 12
  if redis.call('HDEL', campaign_key, 'auto_paused') == 1 then
    redis.call('HDEL', totals, 'recent_calls') -- a person has started it again: what was before counts no more
    return nil
  end
  if not channel then return nil end
  local calls, failed, oldest = 0, 0, math.floor(ledger_ms / 10000) - WINDOW_SLOTS
  for slot, its_calls, its_failed in
    string.gmatch(redis.call('HGET', totals, 'recent_calls') or '', '(%d+) (%d+) (%d+)')
  do
    if tonumber(slot) > oldest then calls, failed = calls + its_calls, failed + its_failed end
  end
  if calls < FEWEST_CALLS or 2 * failed < calls then return nil end
  local why = string.format('%d of %d calls failed within two minutes', failed, calls)
  redis.call('HSET', campaign_key, 'status', 'paused', 'auto_paused', why)
  redis.call('PUBLISH', channel, 'campaign:paused:' .. plain_id(campaign))
  return why
end
