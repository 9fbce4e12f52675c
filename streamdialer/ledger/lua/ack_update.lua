-- Notes that the backend has (or has for good refused) the state of version v. Once a finished contact is confirmed, its
-- tombstone gets an end. A deliverer that lost its lease may have overwritten something newer: the newest state goes
-- out once more. A contact the backend knows more of than the ledger is forgotten at once: it comes back from its lists.
-- KEYS 1–20 of the campaign
-- ARGV campaign, contact, token of the deliverer, version, tombstone ms
-- Returns "done" · "newer" there is a newer state to deliver · "lost" another deliverer took over meanwhile
-- uses: clock campaign outbox
local contact, token, version, tombstone_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local raw = redis.call('HGET', outbox, contact)
local document = raw and cjson.decode(raw)
local record = load_record(contact)
if document and document.l == token then
  if document.v ~= version then return 'newer' end
  redis.call('HDEL', outbox, contact)
  if record and record.p == 'final' then
    move(contact, record, 'final', record.q == 2 and ledger_ms or ledger_ms + tombstone_ms)
  end
  return 'done'
end
if record then tell_backend(contact, status_of(record), told_attempts(record), nil) end
return 'lost'
