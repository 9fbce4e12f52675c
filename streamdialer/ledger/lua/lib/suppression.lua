-- Who must not be called. Kept in two hashes, whose values say since when (s since 1970) and why: the list, number ->
-- '+' where the number is E.164, then since and why; and per campaign the requests, contact -> since and why, of
-- contacts whose number is not known here.
-- A record: {…, e = its numbers (E.164, or the digits as given where no country was known), ns = the digits as the backend
--   spells them where these are others, dnc = is never called again, whatever is said of it later}.

-- Numbers are compared without the sign: somebody's list may have lost it.
local function bare(number) return (string.gsub(number, '^%+', '')) end

-- All spellings of all its numbers, without sign, and that of its newest callback: whoever asks not to be called at one is
-- called at none.
local function numbers_of(record)
  local numbers = {}
  for _, number in ipairs(record.e or {}) do numbers[#numbers + 1] = bare(number) end
  for _, number in ipairs(record.ns or {}) do numbers[#numbers + 1] = number end
  if record.cb and record.cb.nn then numbers[#numbers + 1] = bare(record.cb.nn) end
  return numbers
end

-- Whether one of the numbers it may be called at is on the list.
local function is_listed(listed, record)
  for _, number in ipairs(numbers_of(record)) do
    if redis.call('HEXISTS', listed, number) == 1 then return true end
  end
  return false
end

local function list_number(listed, number, since_and_why)
  local sign = string.sub(number, 1, 1) == '+' and '+' or ''
  redis.call('HSETNX', listed, bare(number), sign .. since_and_why)
end

local function is_suppressed(listed, record) return record.dnc or is_listed(listed, record) end
