-- Whether Redis may have forgotten calls that are up. A server that was started anew, emptied, or took over from another
-- shows a run id the ledger has not met: nothing is dialed until those calls have had the time to ring out and their
-- events to come, and until each campaign has been rebuilt from what the backend knows.
-- Kept in the `server` hash: `run`, `lost` (when the loss was noticed), `quiet` (until when nothing is dialed), `rebuild`
-- (campaigns must carry this mark to be dialed; '' when the memory is known to be whole).

local function run_of_server()
  local info = redis.pcall('INFO', 'server')
  local at = type(info) == 'string' and string.find(info, 'run_id:', 1, true)
  return at and string.sub(info, at + 7, at + 46) or nil -- forty hexadecimal digits
end

-- Returns nil when the memory is whole · "data_loss" · "server_unknown" the server does not say who it is
local function memory_trouble(server, ledger_ms, quiet_ms)
  local run = run_of_server()
  if not run then return 'server_unknown' end
  local stored = redis.call('HMGET', server, 'run', 'hold_until')
  if stored[1] == run then
    return ledger_ms < tonumber(stored[2]) and 'data_loss' or nil
  end
  local lost = string.format('%.0f', ledger_ms + 100) -- the clock of the server before may have been that much ahead
  redis.call('HSET', server, 'run', run, 'lost', lost,
    'hold_until', string.format('%.0f', ledger_ms + quiet_ms), 'rebuild_epoch', run .. ':' .. lost)
  redis.call('HINCRBY', server, 'loss_count', 1)
  return 'data_loss'
end
