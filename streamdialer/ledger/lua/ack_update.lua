-- Notes that the backend has version `version` of a contact's state, or will never take it. A final contact
-- whose state is confirmed is kept for a while and then removed; a partial one that the backend may list
-- again is removed at once. A worker that lost its lease may have overwritten a newer state in the backend:
-- then the newest state is enqueued once more.
-- KEYS 1–23 of the campaign
-- ARGV campaign, contact, token of the worker, version, how long a final contact is kept ms
-- Returns "done" · "newer" there is a newer state to deliver · "lost" another worker has taken over
-- uses: clock campaign outbox
local contact, token, version, final_ttl_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local raw = redis.call('HGET', outbox, contact)
local document = raw and cjson.decode(raw)
local record = load_record(contact)
if document and document.l == token then
  if document.v ~= version then return 'newer' end
  drop_update(contact, record)
  if record and record.p == 'final' then
    set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
  end
  return 'done'
end
if record then enqueue_update(contact, backend_status(record), record.a, nil) end
return 'lost'
