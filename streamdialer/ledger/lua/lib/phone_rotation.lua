-- Which of a contact's numbers is called: `ni` and `nx` of its record, `ph` of an attempt (`ledger/records.py`). A
-- contact with one number has none of these fields, and no `phones` in its JSON.

local function phones_of(call)
  if not string.find(call, '"phones"', 1, true) then return nil end
  return cjson.decode(call).phones
end

-- Returns index and number of the next call; nil when the contact has only one number.
local function choose_phone(record, call)
  local phones = phones_of(call)
  if not phones then return nil end
  local index = record.ni or 1
  return index, phones[index]
end

local ROTATES = { no_answer = true, failed = true, invalid = true }
-- Chooses the number after this attempt by how it ended: the same after busy, else the next one that exists.
-- Returns the contact's disposition (lib/outbox.lua). Applied again with the same or another end of the
-- attempt, it leads to the same record as if only the last had been applied.
local function rotate_phone(contact, record, attempt)
  if not attempt.ph or attempt.ph == 0 then return contact_disposition(record, attempt) end
  local missing, phone_count = record.nx or {}, #phones_of(redis.call('HGET', contacts, contact))
  missing[tostring(attempt.ph)] = attempt.d == 'invalid' or nil
  record.nx = next(missing) and missing or nil
  record.ni = attempt.ph
  if ROTATES[attempt.d] then
    record.ni = 0
    for step = phone_count, 1, -1 do
      local candidate = (attempt.ph - 1 + step) % phone_count + 1
      if not missing[tostring(candidate)] then record.ni = candidate end
    end
  end
  return contact_disposition(record, attempt)
end

-- Whether another number of the contact may be called after one that does not exist.
local function has_another_phone(contact, record, attempt)
  if not attempt.ph then return false end
  if attempt.ph == 0 then return true end
  local missing = record.nx or {}
  for index = 1, #phones_of(redis.call('HGET', contacts, contact)) do
    if index ~= attempt.ph and not missing[tostring(index)] then return true end
  end
  return false
end
