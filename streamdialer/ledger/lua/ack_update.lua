-- Notes that the backend has version `version` of a contact's state, that it refused it, or that it shows a newer one. A
-- final contact is kept for a while from then on; one of which the backend shows a newer state is removed at once. A
-- worker that lost its lease may have overwritten a newer state in the backend: then the newest state is enqueued once
-- more.
-- KEYS 1–23 of the campaign
-- ARGV campaign, contact, token of the worker, version, how long a final contact is kept ms, verdict (taken | refused |
--   outdated: the backend shows a newer state), the backend's words when it refused
-- Returns "done" · "newer" there is a newer state to deliver · "lost" another worker has taken over
-- uses: clock campaign outbox
local contact, token, version, final_ttl_ms, verdict =
  ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local raw = redis.call('HGET', outbox, contact)
local document = raw and cjson.decode(raw)
local record = load_record(contact)
if not document or document.l ~= token then
  if record then enqueue_update(contact, backend_status(record), record.a, nil) end
  return 'lost'
end
if document.v ~= version then return 'newer' end
drop_update(contact, record)
if verdict == 'refused' then
  redis.call('HINCRBY', totals, 'refused_updates', 1)
  redis.call('HSET', totals, 'refused_at', format_number(ledger_ms), 'refused_why', ARGV[7])
end
if not record then return 'done' end
local was_refused, row, seen_ms = record.rf, record.rw, record.sn
record.rf = verdict == 'refused' and 1 or nil
if verdict == 'taken' and document.s == 'pending' then
  record.rw = nil -- its row is another now
  if record.p == 'ready' then record.sn = math.max(seen_ms or 0, document.ls) end
end
local is_idle = record.p == 'ready' or record.p == 'deferred'
if verdict == 'outdated' and is_idle and not open_callback(record) then
  set_state(contact, record, 'final', ledger_ms) -- removed at once: the backend lists it when it is to be called
  record.x = 1
elseif record.p == 'final' then
  local removed_x = record.x
  set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
  record.x = removed_x
end
if record.p == 'final' then record.cf = ledger_ms end
local has_changed = record.rf ~= was_refused or record.rw ~= row or record.sn ~= seen_ms
if record.p == 'final' or has_changed then save_record(contact, record) end
return 'done'
