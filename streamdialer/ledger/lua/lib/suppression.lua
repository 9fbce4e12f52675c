-- Which numbers and contacts must not be called.
--   do-not-call list  hash number (digits) -> ['+' where the number is E.164] since (s since 1970), ' ', why
--   pending_dnc       hash of a campaign: contact -> since, ' ', why; for contacts whose number is not known here.
--     It is kept for so long after its newest request, or after contacts of the campaign were last loaded: a request
--     may name a campaign that does not exist
-- In a record: `e`, `ns` and `dnc` (`ledger/records.py`).

local PENDING_DNC_TTL_MS = 34560000000 -- 400 days

-- Numbers are compared without the plus sign: a list from outside may have lost it.
local function without_plus(number) return (string.gsub(number, '^%+', '')) end

-- Returns all spellings of all the contact's numbers and the number of its newest callback, without plus
-- signs. When one of them is on the list, the contact is called at none.
local function numbers_of(record)
  local numbers = {}
  for _, number in ipairs(record.e or {}) do numbers[#numbers + 1] = without_plus(number) end
  for _, number in ipairs(record.ns or {}) do numbers[#numbers + 1] = number end
  if record.cb and record.cb.nn then numbers[#numbers + 1] = without_plus(record.cb.nn) end
  return numbers
end

local function is_on_dnc_list(dnc_list, record)
  for _, number in ipairs(numbers_of(record)) do
    if redis.call('HEXISTS', dnc_list, number) == 1 then return true end
  end
  return false
end

-- `why` of a number that a file has brought is 'import', or 'import ' and the file's source.
local function is_imported(entry) return string.find(entry, '^%+?%d+ import') ~= nil end

-- A number that is on the list keeps its first reason. But a person's own request outlasts the file that also has the
-- number, and a number of two sources is of none: a change file of one must not take it off the list.
local function add_to_dnc_list(dnc_list, number, since_and_why)
  local digits = without_plus(number)
  local entry = (digits == number and '' or '+') .. since_and_why
  if redis.call('HSETNX', dnc_list, digits, entry) == 1 then return end
  local kept = redis.call('HGET', dnc_list, digits)
  if not is_imported(kept) then return end
  local since, why = string.match(kept, '^(%S+) (.*)')
  if not is_imported(entry) then
    redis.call('HSET', dnc_list, digits, entry)
  elseif why ~= string.match(entry, ' (.*)') then
    redis.call('HSET', dnc_list, digits, since .. ' import')
  end
end

local function is_suppressed(dnc_list, record) return record.dnc or is_on_dnc_list(dnc_list, record) end
