-- One number in two spellings: E.164 in one list, and the digits that people dial inside its country in another one,
-- whose country was not known. Where both can be one number, they count as one.
--   calling_codes   field of the hash `server`: the calling codes of all E.164 numbers of contacts and of the
--                   do-not-call list. Digits of a number whose country is not known may be of any of these countries

-- Numbers are compared without the plus sign: a list from outside may have lost it.
local function without_plus(number) return (string.gsub(number, '^%+', '')) end

local note_calling_code, spellings_of
do
  local TWO_DIGITS = '20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 '
    .. '81 82 84 86 90 91 92 93 94 95 98'
  -- The digit that callers inside a country dial first, where it is not a zero (stored digits begin with no zero).
  local TRUNK_PREFIX = { ['7'] = '8', ['36'] = '6', ['375'] = '8', ['993'] = '8' }
  local MIN_DIGITS = 7 -- as `rules/numbers.py`
  local noted -- read when first needed

  local function noted_codes(server)
    noted = noted or ' ' .. (redis.call('HGET', server, 'calling_codes') or '')
    return noted
  end

  local function calling_code(digits)
    if string.find(digits, '^[17]') then return string.sub(digits, 1, 1) end
    local two = string.sub(digits, 1, 2)
    return string.find(TWO_DIGITS, two, 1, true) and two or string.sub(digits, 1, 3)
  end

  -- `number` is E.164 with a plus sign, or of an unknown country.
  function note_calling_code(server, number)
    local digits = without_plus(number)
    local code = digits ~= number and calling_code(digits)
    if not code or string.find(noted_codes(server), ' ' .. code .. ' ', 1, true) then return end
    local with_code = noted .. code .. ' '
    redis.call('HSET', server, 'calling_codes', string.sub(with_code, 2))
    noted = with_code
  end

  -- Returns the digits under which others may know the number: its own, then those it may be the same as.
  function spellings_of(server, number)
    local digits = without_plus(number)
    local names = { digits }
    local function add(other)
      if #other >= MIN_DIGITS then names[#names + 1] = other end
    end
    local function rest_after(prefix)
      return string.sub(digits, 1, #prefix) == prefix and (string.gsub(string.sub(digits, #prefix + 1), '^0+', ''))
    end
    if digits ~= number then
      local code = calling_code(digits)
      local national = rest_after(code)
      add(national)
      if TRUNK_PREFIX[code] then add(TRUNK_PREFIX[code] .. national) end
      return names
    end
    for code in string.gmatch(noted_codes(server), '%d+') do
      local national, after_trunk = rest_after(code), TRUNK_PREFIX[code] and rest_after(TRUNK_PREFIX[code])
      add(code .. digits)
      add(code .. '0' .. digits) -- as in Italy, where the zero is a part of the number
      if national then add(national) end
      if after_trunk then
        add(code .. after_trunk)
        add(after_trunk)
      end
    end
    return names
  end
end
