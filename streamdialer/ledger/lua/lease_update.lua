-- Takes the newest state of a contact for delivery to the backend, by one worker at a time.
-- KEYS 1–23 of the campaign
-- ARGV campaign, contact, token of the worker, lease ms, '1' when the newest attempt's trace is wanted (else
--   left out)
-- Returns the document (lib/outbox.lua) as JSON, with id and tr (lib/attempts.lua) of the newest attempt when
--   they are wanted · "none" the backend knows everything · "busy" another worker delivers
-- uses: clock campaign
local contact, token, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
local raw = redis.call('HGET', outbox, contact)
if not raw then return 'none' end
local document = cjson.decode(raw)
-- After a data loss the backend may show a newer status than "pending": that one is not delivered until the
-- campaign is rebuilt.
local epoch = redis.call('HGET', server, 'rebuild_epoch') or ''
if document.s == 'pending' and epoch ~= '' and redis.call('HGET', totals, 'rebuilt') ~= epoch then
  drop_update(contact, load_record(contact))
  return 'none'
end
if document.l and document.l ~= token and document.le > ledger_ms then return 'busy' end
document.l, document.le = token, ledger_ms + lease_ms
redis.call('HSET', outbox, contact, cjson.encode(document))
local record = ARGV[5] and load_record(contact)
local newest = record and record.h and record.h[#record.h]
if newest then document.id, document.tr = newest.id, newest.tr end
return cjson.encode(document)
