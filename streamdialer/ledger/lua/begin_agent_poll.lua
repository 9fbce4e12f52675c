-- Says what time it is before a queue's agent list is requested, and how old the list held here is.
-- KEYS 1 queue's state, 2 server
-- Returns JSON {ledger_ms, polled = when the list held here was requested, ledger ms (0 = it must be read
--   again)}
-- uses: clock
local ledger_ms = ledger_clock(KEYS[2])
return cjson.encode({ ledger_ms = ledger_ms, polled = tonumber(redis.call('HGET', KEYS[1], 'polled') or 0) })
