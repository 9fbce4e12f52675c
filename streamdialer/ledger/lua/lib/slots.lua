-- How many of its slots an agentless campaign may use: the first calls are few, so that trouble shows before all slots are
-- in use.
-- `ramp` in the totals is 'begun last' (ledger ms): when the ramp began, and when calls were last placed. It begins anew
-- after a pause without any call.
local slots = {}
do
  local RAMP_MS, PAUSE_MS = 30000, 60000

  -- Returns {open = live calls it may have, begun, next_ms = when the next slot opens (nil = all are open)}.
  function slots.open(most, live)
    local begun, last = string.match(redis.call('HGET', totals, 'ramp') or '', '^(%S+) (%S+)$')
    begun = tonumber(begun)
    if not begun or live == 0 and ledger_ms - last >= PAUSE_MS then begun = ledger_ms end
    local open = math.max(1, math.floor(most * math.min(1, (ledger_ms - begun) / RAMP_MS)))
    local next_ms = open < most and math.ceil(begun + (open + 1) * RAMP_MS / most - ledger_ms) or nil
    return { open = open, begun = begun, next_ms = next_ms }
  end

  function slots.note(ramp)
    redis.call('HSET', totals, 'ramp', format_number(ramp.begun) .. ' ' .. format_number(ledger_ms))
  end
end
