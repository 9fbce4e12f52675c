-- Notes that a server asks for no requests for a while; a longer pause that it asked for before stays.
-- KEYS 1 the server's pause
-- ARGV ms
-- Returns "ok"
-- uses: server_pauses
if tonumber(ARGV[1]) > paused_ms(KEYS[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 'ok'
