-- Says what time it is before a queue's agent list is requested, and how old the list held here is.
-- KEYS 1 queue's state, 2 server
-- Returns JSON {ledger_ms, polled = when the list held here was requested, ledger ms (0 = it must be read again; now while
--   the telephone system's list outranks it)}
-- uses: clock agent_lists
local ledger_ms = ledger_clock(KEYS[2])
return cjson.encode({ ledger_ms = ledger_ms, polled = listed_ms(KEYS[1], ledger_ms) })
