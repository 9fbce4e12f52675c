-- Makes a campaign known: its queue, and what the other campaigns of the queue need to know of its pacing.
-- KEYS 1–18 of the campaign, 19 queue's campaigns, 20 queue's pacing, 21 and 22 the same of the queue it was in before
-- ARGV campaign, queue, pacing JSON, queue it was in before ('' = none)
-- Returns "ok" · "moved" the campaign was in another queue than said: ask again
-- uses: campaign
local queue, pacing, before = ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', directory, campaign) or '') ~= before then return 'moved' end
redis.call('HSET', directory, campaign, queue)
redis.call('ZADD', KEYS[19], 'NX', 0, campaign)
redis.call('HSET', KEYS[20], campaign, pacing)
if before ~= '' and before ~= queue then
  redis.call('ZREM', KEYS[21], campaign)
  redis.call('HDEL', KEYS[22], campaign)
end
return 'ok'
