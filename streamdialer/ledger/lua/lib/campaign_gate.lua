-- Whether a campaign may place a call at this instant, whoever asks: its status, the server's memory, its hours, what the
-- Dialer API asked for, and whether anybody says what became of earlier calls.

-- Returns {closed = reason (nil = open), wait_ms = how long memory that was lost is still waited for?, is_probe = the API has
-- had a rest: one call finds out whether it is well}.
local function look_at_gate(api, open_until, events_required, deadline_ms)
  local trouble = memory_trouble(server, ledger_ms, deadline_ms) -- noticed at once, whatever else forbids the call
  local memory = redis.call('HMGET', server, 'hold_until', 'rebuild_epoch')
  if redis.call('HGET', campaign_key, 'status') ~= 'active' then return { closed = 'not_active' } end
  if trouble then
    return { closed = trouble, wait_ms = trouble == 'data_loss' and tonumber(memory[1]) - ledger_ms or nil }
  end
  if memory[2] and memory[2] ~= '' and redis.call('HGET', totals, 'rebuilt') ~= memory[2] then
    return { closed = 'not_rebuilt' }
  end
  if open_until ~= '' and server_ms >= tonumber(open_until) then return { closed = 'window_closed' } end

  local holds = redis.call('HMGET', api, 'until', 'reason', 'probed', 'c:' .. campaign)
  local rest_until, probed = tonumber(holds[1] or 0), tonumber(holds[3] or 0)
  if rest_until > ledger_ms then return { closed = holds[2] } end
  if probed > rest_until and ledger_ms < probed + deadline_ms then return { closed = holds[2] } end
  if holds[4] then
    if tonumber(holds[4]) > ledger_ms then return { closed = 'rate_limited' } end
    redis.call('HDEL', api, 'c:' .. campaign)
  end

  if events_required then
    local overdue = redis.call('ZRANGEBYSCORE', dialing, '-inf', ledger_ms, 'LIMIT', 0, 1)[1]
    if overdue then
      local record = load_record(overdue)
      if not others_speak(record.h[#record.h]) then return { closed = 'no_call_events' } end
    end
  end
  return { is_probe = rest_until > 0 }
end
