-- Takes the newest state of a contact for delivery to the backend, by one worker at a time.
-- KEYS 1–23 of the campaign, 24 the backend's pause
-- ARGV campaign, contact, token of the worker, lease ms, deadline after sending ms, '1' when the newest attempt's trace
--   is wanted (else left out)
-- Returns the document (lib/outbox.lua) as JSON, with id and tr (lib/attempts.lua) of the newest attempt when they are
--   wanted, with bp, rs, d and u (`Update` in `ledger/records.py`), and after a data loss with ck (`Doubt`, there) · "none" the
--   backend knows everything · "busy" another worker delivers
-- uses: clock data_loss spellings campaign outbox server_pauses
local contact, token, lease_ms, deadline_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local raw = redis.call('HGET', outbox, contact)
if not raw then return 'none' end
local document = cjson.decode(raw)
server_trouble(server, ledger_ms, deadline_ms) -- perhaps no script has noticed a loss yet
-- After a data loss the backend may show a newer status than "pending": "pending" is not delivered until the
-- campaign is rebuilt, which loads the contact again. A contact whose callback is due is not loaded again
-- (drop_reloadable.lua): its update is compared with what the backend shows, by `ck`.
local epoch = redis.call('HGET', server, 'rebuild_epoch') or ''
if document.s == 'pending' and epoch ~= '' and redis.call('HGET', totals, 'rebuilt') ~= epoch then
  local record = load_record(contact)
  if not record or not open_callback(record) then
    drop_update(contact, record)
    return 'none'
  end
end
if document.l and document.l ~= token and document.le > ledger_ms then return 'busy' end
local record = load_record(contact)
if record and document.l and document.l ~= token then -- its request may still reach the backend, after the newer one
  record.lw = document.l
  save_record(contact, record)
end
document.l, document.ls, document.le = token, ledger_ms, ledger_ms + lease_ms
redis.call('HSET', outbox, contact, cjson.encode(document))
document.bp = paused_ms(KEYS[24], ledger_ms)
if not record then return cjson.encode(document) end
local newest = record.h and record.h[#record.h]
if newest and ARGV[6] then document.id, document.tr = newest.id, newest.tr end
local sent
for _, attempt in ipairs(record.h or {}) do
  if attempt.sm then sent = attempt end
end
document.rs, document.d, document.u = record.rs, sent and contact_disposition(record, sent), sent and sent.u

-- What was known of the contact before a data loss may be older than what the backend shows.
local lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
if (sent and sent.sm or record.sn or 0) <= lost_ms and document.s ~= 'do_not_call' then
  document.ck = {}
  if sent and sent.t ~= 'remembered' then -- an attempt made up after the loss does not say when it was sent
    document.ck.at = (sent.em and sent.em < lost_ms and sent.em or sent.sm) - (ledger_ms - server_ms)
  end
end
return cjson.encode(document)
