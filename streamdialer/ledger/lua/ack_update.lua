-- Notes that the backend has version `version` of a contact's state, refused it, or did not get it because it shows a
-- newer state. A final contact is kept for a while from then on; one that waits and of which the backend shows a newer
-- state is removed at once. A ready contact may be called for a while from then on (needs_verification in
-- lib/eligibility.lua). A worker that lost its lease may have overwritten a newer state in the backend: then the newest
-- state is enqueued once more, and a finished contact may come back again (`lw`, lease_update.lua).
-- KEYS 1–23 of the campaign
-- ARGV campaign, contact, token of the worker, version, how long a final contact is kept ms, verdict (taken | refused |
--   outdated: after a data loss, the backend shows a newer state | over: the backend has finished the contact itself), the
--   backend's words when it refused
-- Returns "done" · "newer" there is a newer state to deliver · "lost" another worker has taken over
-- uses: clock spellings campaign outbox
local contact, token, version, final_ttl_ms, verdict =
  ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local raw = redis.call('HGET', outbox, contact)
local document = raw and cjson.decode(raw)
local record = load_record(contact)
if not document or document.l ~= token then
  if record then enqueue_update(contact, backend_status(record), record.a, nil) end
  if record and record.lw == token then
    record.lw = nil
    save_record(contact, record)
  end
  return 'lost'
end
if document.v ~= version then return 'newer' end
drop_update(contact, record)
if verdict == 'refused' then
  redis.call('HINCRBY', totals, 'refused_updates', 1)
  redis.call('HSET', totals, 'refused_at', format_number(ledger_ms), 'refused_why', ARGV[7])
end
if not record then return 'done' end
record.rf = verdict == 'refused' and 1 or nil
if verdict == 'taken' then
  record.rs = document.s ~= 'pending' and document.s or nil
  if document.s == 'pending' then record.rw = nil end -- its row is another now
end
if document.s == 'pending' and record.p == 'ready' and (verdict == 'taken' or verdict == 'refused') then
  record.sn = math.max(record.sn or 0, document.ls)
end
local is_idle = record.p == 'ready' or record.p == 'deferred'
if is_idle and (verdict == 'over' or verdict == 'outdated' and not open_callback(record)) then
  if record.cb then record.cb.had = true end
  set_state(contact, record, 'final', ledger_ms) -- removed at once: the backend lists it when it is to be called
  record.x = 1
  write_public_hash()
elseif record.p == 'final' then
  local removed_x = record.x
  set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
  record.x = removed_x
end
if record.p == 'final' then record.cf = ledger_ms end
save_record(contact, record)
return 'done'
