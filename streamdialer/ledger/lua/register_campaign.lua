-- Registers a campaign: its queue, and what the other campaigns of the queue must know of its pacing.
-- KEYS 1–20 of the campaign, 21 queue's campaigns, 22 queue's pacing, 23 and 24 the same of its previous
--   queue
-- ARGV campaign, queue, pacing JSON, previous queue ('' = none)
-- Returns "ok" · "moved" the campaign is in another queue than the previous queue passed: ask again
-- uses: clock campaign
local queue, pacing, previous = ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', directory, campaign) or '') ~= previous then return 'moved' end
redis.call('HSET', directory, campaign, queue)
redis.call('ZADD', KEYS[21], 'NX', 0, campaign)
redis.call('HSET', KEYS[22], campaign, pacing)
if previous ~= '' and previous ~= queue then
  redis.call('ZREM', KEYS[23], campaign)
  redis.call('HDEL', KEYS[24], campaign)
end
return 'ok'
