-- The transactional outbox: the script that changes a contact also notes what the backend must be told. The
-- hash `outbox` holds one document per contact: its newest state that the backend has not confirmed. One
-- entry in the stream `updates` says that the contact has a document. A newer state overwrites the document;
-- the version tells a worker that delivers the older one. A document is JSON with short field names, because
-- there is one per contact; `Update` in `ledger/records.py` says what they mean.

-- Notes a new state for the backend. `status` nil: the backend already shows the right one, nothing is noted.
local function enqueue_update(contact, status, attempts, at)
  if not status then return end
  local raw = redis.call('HGET', outbox, contact)
  local old = raw and cjson.decode(raw) or {}
  local entry = old.e
  if not entry or #redis.call('XRANGE', updates, entry, entry) == 0 then
    entry = redis.call('XADD', updates, '*', 'campaign', campaign, 'contact', contact)
  end
  local document = {
    v = redis.call('HINCRBY', totals, 'version', 1), s = status, e = entry,
    a = attempts or old.a, at = at and at - (ledger_ms - server_ms) or old.at, l = old.l, le = old.le,
  }
  redis.call('HSET', outbox, contact, cjson.encode(document))
end

-- Returns the contact's disposition after an ended attempt: an invalid number only counts as a failed attempt
-- while the contact has another number.
local function contact_disposition(record, attempt)
  local is_failed = attempt.d == 'invalid' and attempt.ph and (attempt.ph == 0 or record.ni > 0)
  return is_failed and 'failed' or attempt.d
end

-- Returns the status the backend should show for a record; nil when the backend already shows the right one.
local WAITS_FOR_RETRY = { no_answer = true, busy = true, failed = true }
local function backend_status(record)
  if record.dnc then return 'do_not_call' end
  if record.x then return nil end
  local last = record.h and record.h[#record.h]
  if record.p == 'deferred' and open_callback(record) then return 'callback' end
  if record.p == 'dialing' then return 'dialing' end
  if record.p == 'orphaned' then return last.f.w and 'answered' or 'dialing' end
  if record.p == 'connected' then return 'answered' end
  if is_deferred_by_rule(record) then return 'pending' end
  if record.p == 'deferred' or record.p == 'final' then
    local ended = last and contact_disposition(record, last) or WAITS_FOR_RETRY[record.rs] and record.rs or 'failed'
    return record.why and 'invalid' or ended
  end
  return 'pending'
end

-- Makes the contact ready (make_ready) and says so to the backend: first of all, since the stream may refuse the entry, and
-- then nothing may be half done. The caller saves the record.
local function make_ready_and_report(contact, record, at)
  local callback = open_callback(record)
  local waits = callback and callback.at > server_ms
  enqueue_update(contact, record.dnc and 'do_not_call' or waits and 'callback' or 'pending', record.a, at)
  make_ready(contact, record)
end
