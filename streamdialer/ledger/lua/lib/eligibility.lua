-- Why a contact may not be called now although its campaign may place calls: the last check before it is
-- reserved.
-- A refusal: {reason = code, state = where the contact goes instead: final | deferred, due = until when it is
--   deferred, ms?, detail = sentence?, why = what is wrong with the contact itself?}.

-- Returns the first refusal, or nil when the contact may be called.
local function find_refusal(contact, record, max_attempts, dnc_list, opening, call_history, caps)
  if is_suppressed(dnc_list, record) then return { reason = 'do_not_call', state = 'final' } end
  if record.a >= max_attempts and not open_callback(record) then return { reason = 'max_attempts', state = 'final' } end
  return hours_refusal(opening) or cap_refusal(call_history, caps, contact, record)
end

-- Whether the backend has not shown the contact as pending for so long that the backend must be asked before
-- the call.
local function needs_verification(record, max_age_ms) return ledger_ms - (record.sn or 0) > max_age_ms end

-- Moves a refused contact out of `ready` or `previewing`. Saves the record.
local function apply_refusal(contact, record, refusal)
  if refusal.state == 'deferred' then
    defer(contact, record, refusal.due, refusal.reason, refusal.detail)
  else
    record.why = refusal.why
    record.dnc = record.dnc or refusal.reason == 'do_not_call' or nil
    set_state(contact, record, 'final', math.huge)
    enqueue_update(contact, backend_status(record), record.a, nil)
  end
  save_record(contact, record)
end
