-- Registers a campaign: its queue, and what the other campaigns of the queue must know of its pacing.
-- KEYS 1–23 of the campaign, 24 queue's campaigns, 25 queue's pacing, 26 and 27 the same of its previous
--   queue
-- ARGV campaign, queue, pacing JSON, previous queue ('' = none)
-- Returns "ok" · "moved" the campaign is in another queue than the previous queue passed: ask again
-- uses: clock spellings campaign
local queue, pacing, previous = ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', directory, campaign) or '') ~= previous then return 'moved' end
redis.call('HSET', directory, campaign, queue)
redis.call('ZADD', KEYS[24], 'NX', 0, campaign)
redis.call('HSET', KEYS[25], campaign, pacing)
if previous ~= '' and previous ~= queue then
  redis.call('ZREM', KEYS[26], campaign)
  redis.call('HDEL', KEYS[27], campaign)
end
return 'ok'
