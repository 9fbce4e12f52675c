-- Whether a campaign may place any call now: its status, a loss of data, its calling window, what the Dialer
-- API asked for, and whether call events still arrive.

-- Returns {closed = reason (nil = open), detail = what who places calls said?, wait_ms = how long lost calls are still waited for?, is_probe = the
-- Dialer API was paused: one call finds out whether it works again, only_ends = calls past their deadline that count
-- as up because only ends of other calls have come since?}.
local function check_gate(api, open_until, events_required, deadline_ms)
  local trouble = server_trouble(server, ledger_ms, deadline_ms) -- first, so that a loss is always noted
  local stored = redis.call('HMGET', server, 'hold_until', 'rebuild_epoch')
  if redis.call('HGET', campaign_key, 'status') ~= 'active' then return { closed = 'not_active' } end
  if trouble then
    return { closed = trouble, wait_ms = trouble == 'data_loss' and tonumber(stored[1]) - ledger_ms or nil }
  end
  if stored[2] and stored[2] ~= '' and redis.call('HGET', totals, 'rebuilt') ~= stored[2] then
    return { closed = 'not_rebuilt' }
  end
  if open_until ~= '' and server_ms >= tonumber(open_until) then return { closed = 'window_closed' } end

  local pause = redis.call('HMGET', api, 'until', 'reason', 'probed_until', 'c:' .. campaign, 'detail')
  local paused_until = tonumber(pause[1] or 0)
  if ledger_ms < math.max(paused_until, tonumber(pause[3] or 0)) then
    return { closed = pause[2], detail = pause[5] or nil }
  end
  if pause[4] then
    if tonumber(pause[4]) > ledger_ms then return { closed = 'rate_limited' } end
    redis.call('HDEL', api, 'c:' .. campaign)
  end

  local only_ends
  if events_required then
    local overdue = redis.call('ZRANGEBYSCORE', dialing, '-inf', ledger_ms, 'LIMIT', 0, 1)[1]
    if overdue then
      local record = load_record(overdue)
      if not other_calls_reported(record.h[#record.h]) then return { closed = 'no_call_events' } end
      if not other_calls_begun(record.h[#record.h]) then only_ends = redis.call('ZCOUNT', dialing, '-inf', ledger_ms) end
    end
  end
  return { is_probe = paused_until > 0, only_ends = only_ends }
end
