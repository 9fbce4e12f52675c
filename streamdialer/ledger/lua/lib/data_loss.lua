-- Detects that Redis may have lost calls that are still up. A server that was restarted, emptied or replaced
-- by another shows a run id the ledger has not met. Then no call is placed until the lost calls have had time
-- to ring out and their events to arrive, as long as the campaign with the longest ring time-out needs, and until
-- each campaign has been rebuilt from what the backend knows. The hash `server` keeps:
--   run            run id of the server the ledger knows
--   lost           when the loss was noticed, ledger ms
--   hold_until     until when no call is placed, ledger ms
--   rebuild_epoch  a campaign may be dialed when its `rebuilt` equals this; '' when no rebuild is needed
--   loss_count     number of losses
--   remembered     contacts that came back with an event since the last loss (apply_call_event.lua)

local function server_run_id()
  local info = redis.pcall('INFO', 'server')
  local at = type(info) == 'string' and string.find(info, 'run_id:', 1, true)
  return at and string.sub(info, at + 7, at + 46) or nil -- forty hexadecimal digits
end

-- `hold_ms` is how long lost calls may be silent, as far as the caller knows.
-- Returns nil when nothing was lost · "data_loss" · "server_unknown" when the server does not say who it is.
local function server_trouble(server, ledger_ms, hold_ms)
  local run = server_run_id()
  if not run then return 'server_unknown' end
  local AHEAD_MS = 100 -- the previous server's clock may have been that far ahead
  local stored = redis.call('HMGET', server, 'run', 'hold_until', 'lost')
  if stored[1] == run then
    if ledger_ms >= tonumber(stored[2]) then return nil end
    local until_ms = tonumber(stored[3] or 0) - AHEAD_MS + hold_ms
    if until_ms > tonumber(stored[2]) then redis.call('HSET', server, 'hold_until', string.format('%.0f', until_ms)) end
    return 'data_loss'
  end
  local lost = string.format('%.0f', ledger_ms + AHEAD_MS)
  redis.call('HSET', server, 'run', run, 'lost', lost, 'remembered', 0,
    'hold_until', string.format('%.0f', ledger_ms + hold_ms), 'rebuild_epoch', run .. ':' .. lost)
  redis.call('HINCRBY', server, 'loss_count', 1)
  return 'data_loss'
end
