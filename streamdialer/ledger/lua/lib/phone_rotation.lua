-- Which of a contact's numbers is called. Most contacts have one, and nothing of this: no `phones` in their call data.
-- In a record: ni = which number is called next (from 1; 0 when none is left), nx = {number = true} those that do not
-- exist. In an attempt: ph = which number was called; 0 the one a callback was asked for at, which is none of them.

local function phones_of(call)
  if not string.find(call, '"phones"', 1, true) then return nil end
  return cjson.decode(call).phones
end

-- Returns which of the numbers in the call data is called now, and the number; nil when there is only one.
local function choose_number(record, call)
  local phones = phones_of(call)
  if not phones then return nil end
  local which = record.ni or 1
  return which, phones[which]
end

local TURNED = { no_answer = true, failed = true, invalid = true }
-- Which number is called after this attempt, from how it ended: the same after busy, else the next one in turn that exists.
-- Returns how the attempt ended for the contact (lib/outbox.lua). Told the same again, or something else, of the same
-- attempt, it ends in the same record.
local function turn_number(contact, record, attempt)
  if not attempt.ph or attempt.ph == 0 then return ended_as(record, attempt) end
  local missing, many = record.nx or {}, #phones_of(redis.call('HGET', contacts, contact))
  missing[tostring(attempt.ph)] = attempt.d == 'invalid' or nil
  record.nx = next(missing) and missing or nil
  record.ni = attempt.ph
  if TURNED[attempt.d] then
    record.ni = 0
    for step = many, 1, -1 do
      local candidate = (attempt.ph - 1 + step) % many + 1
      if not missing[tostring(candidate)] then record.ni = candidate end
    end
  end
  return ended_as(record, attempt)
end

-- Whether a call to another of the contact's numbers may follow one to a number that does not exist.
local function has_another_number(contact, record, attempt)
  if not attempt.ph then return false end
  if attempt.ph == 0 then return true end
  local missing = record.nx or {}
  for which = 1, #phones_of(redis.call('HGET', contacts, contact)) do
    if which ~= attempt.ph and not missing[tostring(which)] then return true end
  end
  return false
end
