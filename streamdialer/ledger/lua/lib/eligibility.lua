-- Why a contact may not be called at this instant, though the campaign may: the last look before it is reserved.
-- A refusal: {reason, place = where the contact goes instead (finished | waiting), due = until when it waits, ms, detail?,
--   why = what is wrong with the contact itself?}.

-- Returns the first refusal, nil when the contact may be called.
local function refusal(contact, record, max_attempts, listed, opening, recent, caps)
  if is_suppressed(listed, record) then return { reason = 'do_not_call', state = 'final' } end
  if record.a >= max_attempts and not owed(record) then return { reason = 'max_attempts', state = 'final' } end
  return closed_by(opening) or over_cap(recent, caps, contact, record)
end

-- Whether the backend has not shown it as pending for so long that it is looked up before it is called.
local function is_stale(record, max_age_ms) return ledger_ms - (record.sn or 0) > max_age_ms end

-- Takes a refused contact out of the line; saves the record.
local function pass_over(contact, record, refused)
  if refused.state == 'deferred' then
    wait(contact, record, refused.due, refused.reason, refused.detail)
  else
    record.why = refused.why
    record.dnc = record.dnc or refused.reason == 'do_not_call' or nil
    move(contact, record, 'final', math.huge)
    tell_backend(contact, status_of(record), record.a, nil)
  end
  save_record(contact, record)
end
