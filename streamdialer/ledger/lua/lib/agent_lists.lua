-- Lists of a queue's agents: the backend's, and those of the telephone system (event `queue_agents`).
--   queue's state  `polled`: when the backend's list was requested; `telephones`: when the newest list of the telephone
--                  system was written, ledger ms
--   queue's lists  hash event source -> `<when its newest list was written, ledger ms> <ids of its agents, JSON list>`
local TELEPHONES_OUTRANK_MS = 60000

-- Whether a list of the telephone system outranks the backend's list.
local function is_telephones_fresh(state, ledger_ms)
  local written_ms = redis.call('HGET', state, 'telephones')
  return written_ms and tonumber(written_ms) > ledger_ms - TELEPHONES_OUTRANK_MS
end

-- Returns when the list was written, and its ids (JSON); nil when there is none.
local function read_list(stored)
  local written_ms, ids = string.match(stored or '', '^(%S+) (.*)$')
  return tonumber(written_ms), ids
end

-- Returns when the queue's agents were listed, for the question whether the backend must be asked: it need not be while
-- its list would change nothing.
local function listed_ms(state, ledger_ms)
  if is_telephones_fresh(state, ledger_ms) then return ledger_ms end
  return tonumber(redis.call('HGET', state, 'polled') or 0)
end
