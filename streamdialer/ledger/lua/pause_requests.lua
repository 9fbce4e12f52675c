-- Notes that a server asks for no requests for a while; a longer pause that it asked for before stays.
-- KEYS 1 the server's pause, 2 server
-- ARGV ms
-- Returns "ok"
-- uses: clock server_pauses
local ledger_ms, pause_ms = ledger_clock(KEYS[2]), tonumber(ARGV[1])
if pause_ms > paused_ms(KEYS[1], ledger_ms) then
  redis.call('SET', KEYS[1], string.format('%.0f', ledger_ms + pause_ms), 'PX', pause_ms)
end
return 'ok'
