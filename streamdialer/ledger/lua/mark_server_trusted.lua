-- Declares that no call is up that the ledger does not know. For a caller that has just created the server.
-- KEYS 1 server
-- Returns "ok" · "server_unknown" the server does not say who it is
-- uses: data_loss
local run = server_run_id()
if not run then return 'server_unknown' end
redis.call('HSET', KEYS[1], 'run', run, 'hold_until', '0', 'rebuild_epoch', '')
redis.call('HDEL', KEYS[1], 'lost')
return 'ok'
