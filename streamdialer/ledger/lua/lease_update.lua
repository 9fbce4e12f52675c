-- Takes the newest state of a contact for delivery to the backend, for one deliverer at a time.
-- KEYS 1–20 of the campaign
-- ARGV campaign, contact, token of the deliverer, lease ms, is the trace of the newest call asked for ('1', or left out)
-- Returns JSON {v, s, a?, at?, id?, tr?}: id and tr of that call · "none" the backend knows everything · "busy" another is delivering
-- uses: clock campaign
local contact, token, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
local raw = redis.call('HGET', outbox, contact)
if not raw then return 'none' end
local document = cjson.decode(raw)
-- After memory was lost, the backend may show what is newer than "pending": it is not told so until it has been asked.
local mark = redis.call('HGET', server, 'rebuild_epoch') or ''
if document.s == 'pending' and mark ~= '' and redis.call('HGET', totals, 'rebuilt') ~= mark then
  redis.call('HDEL', outbox, contact)
  return 'none'
end
if document.l and document.l ~= token and document.le > ledger_ms then return 'busy' end
document.l, document.le = token, ledger_ms + lease_ms
redis.call('HSET', outbox, contact, cjson.encode(document))
local record = ARGV[5] and load_record(contact)
local newest = record and record.h and record.h[#record.h]
if newest then document.id, document.tr = newest.id, newest.tr end
return cjson.encode(document)
