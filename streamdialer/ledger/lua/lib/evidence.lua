-- What scripts that hear of calls need beside lib/attempts.lua.

-- Notes in `event_watermark` that an event has come: the newest one of any attempt, and the newest one of another
-- attempt than that. Events that show a call beginning or answered are noted once more (`begins`).
local function note_event(entry, attempt_id, begins)
  local function note(last, attempt, other)
    local stored = redis.call('HMGET', event_watermark, last, attempt)
    if stored[1] and not is_id_after(entry, stored[1]) then
      if not is_outdated(stored[1]) then return end
      redis.call('HDEL', event_watermark, last, attempt, other)
      stored = {}
    end
    if stored[2] and stored[2] ~= attempt_id then redis.call('HSET', event_watermark, other, stored[1]) end
    redis.call('HSET', event_watermark, last, entry, attempt, attempt_id)
  end
  note('last', 'attempt', 'other')
  if begins then note('begun', 'begun_attempt', 'begun_other') end
end

-- Adds an attempt for a call the ledger had lost, as if sent when the loss was noticed. Returns false when
-- the ledger knows another call of the contact that is up. The caller applies the facts and saves the record.
local IS_UP = { sent = true, ringing = true, answered = true, orphaned = true }
local function remember_attempt(contact, record, lost_ms, deadline_ms)
  record.h = record.h or {}
  local last = record.h[#record.h]
  if last and IS_UP[last.s] then return false end
  local attempt = last
  if last and last.s == 'released' then table.remove(record.h) end
  if not last or last.s ~= 'reserved' then
    attempt = { n = next_attempt_number(record), p = past_for_next(record), t = 'remembered', f = {}, rm = lost_ms }
    while #record.h >= 8 do table.remove(record.h, 1) end
    record.h[#record.h + 1] = attempt
  end
  attempt.id = attempt.id or new_attempt_id(contact, attempt.n)
  attempt.s, attempt.b, attempt.sm, attempt.ev = 'sent', 'remembered', lost_ms, '0-0'
  attempt.dd = deadline_ms
  local callback = open_callback(record)
  if callback and callback.at <= server_ms then attempt.cb = callback.e end -- it may have been the callback
  record.a = attempt.p.a + 1
  change_totals({}, totals_of(attempt))
  set_state(contact, record, 'dialing', ledger_ms + deadline_ms)
  return true
end
