-- Removes every key of a finished campaign, once no call is up and the backend knows everything.
-- KEYS 1–18 of the campaign, 19 queue's campaigns, 20 queue's pacing, 21 slots, 22 api, then the rest to delete
-- ARGV campaign, force ('1': whatever its status, when the public hash is gone)
-- Returns "ok" · "unknown" · "not_finished" · "calls_live" · "updates_waiting"
-- uses: campaign
local status = redis.call('HGET', campaign_key, 'status')
if redis.call('HEXISTS', directory, campaign) == 0 and not status then return 'unknown' end
if status and status ~= 'completed' and status ~= 'cancelled' then return 'not_finished' end
if count(reserved) + count(unanswered) + count(connected) > 0 then return 'calls_live' end
if redis.call('HLEN', outbox) > 0 then return 'updates_waiting' end
redis.call('DEL', unpack(KEYS, 1, 11))
redis.call('DEL', unpack(KEYS, 23))
redis.call('ZREM', due, campaign)
redis.call('HDEL', waiting_ticks, campaign)
redis.call('HDEL', directory, campaign)
redis.call('ZREM', KEYS[19], campaign)
redis.call('HDEL', KEYS[20], campaign)
for _, kind in ipairs({ 'dial', 'retry', 'stats', 'cleanup' }) do
  redis.call('HDEL', KEYS[21], kind .. ':' .. campaign)
end
redis.call('HDEL', KEYS[22], 'c:' .. campaign)
return 'ok'
