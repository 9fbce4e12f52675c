-- The transactional outbox: what the backend must know is noted in the script that made it true.
-- One document per contact holds the newest state; one entry in `updates` says that the contact has one. A newer state
-- overwrites the document (coalescing), its version says so to whoever is delivering the older one.
-- A document: {v = version, s = status, a = attempts?, at = last attempt, ms?, e = id of its entry}.

-- `status` nil: the backend knows better.
local function tell_backend(contact, status, attempts, at)
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

-- How many attempts the backend is told of.
local function told_attempts(record) return not record.q and record.a or nil end

-- How an ended attempt ended for its contact: a number that does not exist is a failed attempt while another is left.
local function ended_as(record, attempt)
  local is_failed = attempt.d == 'invalid' and attempt.ph and (attempt.ph == 0 or record.ni > 0)
  return is_failed and 'failed' or attempt.d
end

-- What the backend should show for a record, when the outbox no longer says it; nil what it shows.
local function status_of(record)
  if record.dnc then return 'do_not_call' end
  if record.x then return nil end
  local last = record.h and record.h[#record.h]
  if record.p == 'deferred' and owed(record) then return 'callback' end
  if record.p == 'dialing' then return 'dialing' end
  if record.p == 'orphaned' then return last.f.w and 'answered' or 'dialing' end
  if record.p == 'connected' then return 'answered' end
  if is_put_off(record) then return 'pending' end
  if record.p == 'deferred' or record.p == 'final' then
    return record.why and 'invalid' or last and ended_as(record, last) or 'failed'
  end
  return 'pending'
end
