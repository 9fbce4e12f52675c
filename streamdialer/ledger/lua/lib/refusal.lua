-- Why a contact may not be called at this instant, though the campaign may: the last look before it is reserved.
-- A refusal: {reason, place = where the contact goes instead (finished | waiting), due = until when it waits, ms, detail?}.

-- Returns the first refusal, nil when the contact may be called.
local function refusal(record, max_attempts)
  if record.a >= max_attempts and not owed(record) then return { reason = 'attempts_used_up', place = 'finished' } end
end

-- Takes a refused contact out of the line; saves the record.
local function pass_over(contact, record, refused)
  if refused.place == 'waiting' then
    wait(contact, record, refused.due, refused.reason, refused.detail)
  else
    move(contact, record, 'finished', math.huge)
    tell_backend(contact, status_of(record), record.a, nil)
  end
  save_record(contact, record)
end
