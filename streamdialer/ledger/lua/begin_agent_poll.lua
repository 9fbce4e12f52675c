-- Begins a reading of a queue's agent list.
-- KEYS 1 queue's state, 2 server
-- Returns JSON {now (ledger ms: when the list is asked for), polled (when the list held here was asked for, 0 = read again)}
-- uses: clock
local ledger_ms = ledger_clock(KEYS[2])
return cjson.encode({ ledger_ms = ledger_ms, polled = tonumber(redis.call('HGET', KEYS[1], 'polled') or 0) })
