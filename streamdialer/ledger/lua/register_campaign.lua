-- Makes a campaign known: its queue, and what the other campaigns of the queue need to know of its pacing.
-- KEYS 1–20 of the campaign, 21 queue's campaigns, 22 queue's pacing, 23 and 24 the same of the queue it was in before
-- ARGV campaign, queue, pacing JSON, queue it was in before ('' = none)
-- Returns "ok" · "moved" the campaign was in another queue than said: ask again
-- uses: clock campaign
local queue, pacing, before = ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', directory, campaign) or '') ~= before then return 'moved' end
redis.call('HSET', directory, campaign, queue)
redis.call('ZADD', KEYS[21], 'NX', 0, campaign)
redis.call('HSET', KEYS[22], campaign, pacing)
if before ~= '' and before ~= queue then
  redis.call('ZREM', KEYS[23], campaign)
  redis.call('HDEL', KEYS[24], campaign)
end
return 'ok'
