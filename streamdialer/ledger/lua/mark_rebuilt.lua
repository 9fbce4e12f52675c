-- Last part of rebuilding a campaign: it may be dialed again, unless memory was lost once more meanwhile.
-- KEYS 1–20 of the campaign
-- ARGV campaign, mark of the loss it was rebuilt after
-- Returns "ok" · "lost_again"
-- uses: clock campaign
if redis.call('HGET', server, 'rebuild') ~= ARGV[2] then return 'lost_again' end
redis.call('HSET', totals, 'rebuilt', ARGV[2])
return 'ok'
