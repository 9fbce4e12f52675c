-- Which numbers and contacts must not be called.
--   do-not-call list  hash number (digits) -> ['+' where the number is E.164] since (s since 1970), ' ', why
--   pending_dnc       hash of a campaign: contact -> since, ' ', why; for contacts whose number is not known here.
--     It is kept for so long after its newest request, or after contacts of the campaign were last loaded: a request
--     may name a campaign that does not exist
-- In a record: `e`, `ns` and `dnc` (`ledger/records.py`).

local PENDING_DNC_TTL_MS = 34560000000 -- 400 days

-- Returns all spellings of all the contact's numbers and the number of its newest callback, without plus
-- signs. When one of them is on the list, the contact is called at none.
local function numbers_of(record)
  local numbers = {}
  for _, number in ipairs(record.e or {}) do numbers[#numbers + 1] = without_plus(number) end
  for _, number in ipairs(record.ns or {}) do numbers[#numbers + 1] = number end
  if record.cb and record.cb.nn then numbers[#numbers + 1] = without_plus(record.cb.nn) end
  return numbers
end

-- Returns the spelling of the number that is on the list, and its entry; nil when none is.
local function find_on_dnc_list(server, dnc_list, number)
  local names = spellings_of(server, number)
  for i, entry in ipairs(redis.call('HMGET', dnc_list, unpack(names))) do
    -- Another spelling that is E.164 itself is the same number only for a number whose country is not known.
    local may_be_same = i == 1 or without_plus(number) == number or entry and string.sub(entry, 1, 1) ~= '+'
    if entry and may_be_same then return names[i], entry end
  end
end

local function is_on_dnc_list(dnc_list, record)
  for _, number in ipairs(record.e or {}) do
    if find_on_dnc_list(server, dnc_list, number) then return true end
  end
  for _, spelled in ipairs(record.ns or {}) do
    if redis.call('HEXISTS', dnc_list, spelled) == 1 then return true end
  end
  local callback_number = record.cb and record.cb.nn
  return callback_number and find_on_dnc_list(server, dnc_list, callback_number) ~= nil
end

local add_to_dnc_list
do
  -- `why` of a number that a file has brought begins with 'import'.
  local function is_imported(entry) return string.find(entry, '^%+?%d+ import') ~= nil end

  -- A number that is on the list keeps its first reason. But a person's own request replaces an import: a change file
  -- must not take the number off.
  function add_to_dnc_list(server, dnc_list, number, since_and_why)
    local digits = without_plus(number)
    note_calling_code(server, number)
    local entry = (digits == number and '' or '+') .. since_and_why
    if redis.call('HSETNX', dnc_list, digits, entry) == 1 or is_imported(entry) then return end
    if is_imported(redis.call('HGET', dnc_list, digits)) then redis.call('HSET', dnc_list, digits, entry) end
  end
end

local function is_suppressed(dnc_list, record) return record.dnc or is_on_dnc_list(dnc_list, record) end
