-- Keeps a campaign's settings for all processes, unless newer ones are kept, and gives those that are kept.
-- KEYS 1 settings of the campaign, 2 server
-- ARGV settings JSON ('' = only read), how long they are kept ms, how long ago they were asked for ms
-- Returns {age ms, settings JSON}, or nil when none are kept
-- uses: clock
local ledger_ms = ledger_clock(KEYS[2])
local at_ms, settings = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (.*)$')
at_ms = tonumber(at_ms)
if at_ms and at_ms > ledger_ms then at_ms = nil end
local asked_ms = ledger_ms - tonumber(ARGV[3])
if ARGV[1] ~= '' and not (at_ms and at_ms > asked_ms) then
  at_ms, settings = asked_ms, ARGV[1]
  redis.call('SET', KEYS[1], string.format('%.0f %s', at_ms, settings), 'PX', ARGV[2])
end
return at_ms and { ledger_ms - at_ms, settings }
