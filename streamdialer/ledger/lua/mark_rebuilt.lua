-- Last part of rebuilding a campaign after a data loss: the campaign may be dialed again, unless data was
-- lost once more. Forgets calls from before the loss whose state the backend knows and which it does not show
-- as up: it knows how they ended.
-- KEYS 1–23 of the campaign, 24 contacts by number
-- ARGV campaign, rebuild epoch of the loss it was rebuilt after (lib/data_loss.lua; '' it could not be rebuilt), who
--   rebuilt it
-- Returns "ok" · "lost_again"
-- uses: clock spellings campaign rebuilding retry suppression number_index
local epoch = ARGV[2]
if redis.call('HGET', totals, 'rebuilder') == ARGV[3] then end_rebuild() end
if redis.call('HGET', server, 'rebuild_epoch') ~= epoch then return 'lost_again' end
if redis.call('HGET', totals, 'rebuilt') == epoch then return 'ok' end
if redis.call('HEXISTS', directory, campaign) == 0 then return 'ok' end
for _, set in ipairs({ dialing, connected, orphaned }) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    local record = load_record(contact)
    local attempt = record.h[#record.h]
    if attempt.g == epoch and attempt.k ~= epoch and redis.call('HEXISTS', outbox, contact) == 0 then
      unindex_numbers(KEYS[24], contact, record)
      redis.call('ZREM', set, contact)
      forget_contact(contact, record)
    end
  end
end
end_rebuild()
redis.call('HSET', totals, 'rebuilt', epoch)
write_public_hash()
return 'ok'
