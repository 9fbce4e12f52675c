-- Which campaigns need a sweep.
-- KEYS 1 due, 2 server
-- ARGV most, deadline after sending ms
-- Returns their ids, the longest overdue first; a loss of memory is noticed here even when nothing is dialed
-- uses: clock data_loss
local ledger_ms = ledger_clock(KEYS[2])
memory_trouble(KEYS[2], ledger_ms, tonumber(ARGV[2]))
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ledger_ms, 'LIMIT', 0, ARGV[1])
