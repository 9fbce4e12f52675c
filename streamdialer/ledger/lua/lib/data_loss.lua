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

-- Returns nil when the memory is whole · "memory_lost" · "memory_unknown" the server does not say who it is
local function memory_trouble(server, now, quiet_ms)
  local run = run_of_server()
  if not run then return 'memory_unknown' end
  local kept = redis.call('HMGET', server, 'run', 'quiet')
  if kept[1] == run then
    return now < tonumber(kept[2]) and 'memory_lost' or nil
  end
  local lost = string.format('%.0f', now + 100) -- the clock of the server before may have been that much ahead
  redis.call('HSET', server, 'run', run, 'lost', lost,
    'quiet', string.format('%.0f', now + quiet_ms), 'rebuild', run .. ':' .. lost)
  redis.call('HINCRBY', server, 'losses', 1)
  return 'memory_lost'
end
