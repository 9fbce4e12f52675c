-- Lists the campaigns that need a sweep. Also detects a data loss, so that it is noticed when nothing is
-- dialed.
-- KEYS 1 sweep schedule, 2 server
-- ARGV most campaigns to return, deadline after sending ms
-- Returns their ids, the longest overdue first
-- uses: clock data_loss
local ledger_ms = ledger_clock(KEYS[2])
server_trouble(KEYS[2], ledger_ms, tonumber(ARGV[2]))
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ledger_ms, 'LIMIT', 0, ARGV[1])
