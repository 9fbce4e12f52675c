-- Last part of rebuilding a campaign: it may be dialed again, unless memory was lost once more meanwhile. Calls from before
-- the loss that the backend was told of, and does not show as up, are forgotten: it knows how they ended.
-- KEYS 1–20 of the campaign, 21 contacts by number
-- ARGV campaign, mark of the loss it was rebuilt after
-- Returns "ok" · "lost_again"
-- uses: clock campaign retry suppression number_index
local mark = ARGV[2]
if redis.call('HGET', server, 'rebuild_epoch') ~= mark then return 'lost_again' end
if redis.call('HGET', totals, 'rebuilt') == mark or redis.call('HEXISTS', directory, campaign) == 0 then return 'ok' end
for _, set in ipairs({ dialing, connected, orphaned }) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    local record = load_record(contact)
    local attempt = record.h[#record.h]
    if attempt.g == mark and attempt.k ~= mark and redis.call('HEXISTS', outbox, contact) == 0 then
      forget_numbers(KEYS[21], contact, record)
      redis.call('ZREM', set, contact)
      forget(contact, record)
    end
  end
end
redis.call('HSET', totals, 'rebuilt', mark)
publish()
return 'ok'
