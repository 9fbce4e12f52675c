-- How often a contact or a number was called lately, and whether its caps (`rules/caps.py`) allow one call more. Counted in all
-- campaigns as soon as one has caps, and for the longest window any of them has had.
-- In `recent`, a hash: number (digits) or `campaign:contact` -> JSON list of calls; `longest` -> ms. In `newest`, a zset: the
-- same names by the end of their newest call, ms.
-- A call: {attempt's id, sent ms, 'a' | 'c' a conversation with a person | 'b' abandoned, ended ms?}: a function of the attempt's
--   facts, so that events commute. One that was not placed is no call.
-- Caps, kept in the totals as `caps`: {k = longest window ms, c = [{y = reason, o = which calls count ('a' all | 'c' | 'b'), n = how
--   many are too many, w = window ms, s = 'contact' | 'number', e = from the end of a call?, d = where that is written}, …]}.

-- Keeps the campaign's caps ('' = none) for the scripts that are not told them; returns them, nil without. When they have changed,
-- whoever was put off is looked at again (recheck_deferred.lua).
local function keep_caps(recent, encoded)
  local stored = redis.call('HGET', totals, 'caps')
  if stored and stored ~= encoded then redis.call('HSET', totals, 'again', '0 1') end
  if encoded == '' then
    if stored then redis.call('HDEL', totals, 'caps') end
    return nil
  end
  if stored ~= encoded then redis.call('HSET', totals, 'caps', encoded) end
  local caps = cjson.decode(encoded)
  if tonumber(redis.call('HGET', recent, 'longest') or 0) < caps.k then redis.call('HSET', recent, 'longest', digits(caps.k)) end
  return caps
end

local function kept_caps()
  local raw = redis.call('HGET', totals, 'caps')
  return raw and cjson.decode(raw) or nil
end

local function calls_of(recent, name) return cjson.decode(redis.call('HGET', recent, name) or '[]') end

-- The number that is called next, or whose call is reserved; the contact itself where nothing is known to compare.
local function number_called(contact, record)
  local asked = owed(record)
  local number = asked and asked.nn or record.e and record.e[record.ni or 1]
  return number and bare(number) or campaign .. ':' .. contact
end

-- The refusal that lasts longest, nil when one call more is allowed.
local function over_cap(recent, caps, contact, record)
  local refused
  for _, cap in ipairs(caps and caps.c or {}) do
    local name = cap.s == 'number' and number_called(contact, record) or campaign .. ':' .. contact
    local begun = {}
    for _, call in ipairs(calls_of(recent, name)) do
      local at = cap.e and call[4] or call[2]
      if (cap.o == 'a' or cap.o == call[3]) and ledger_ms < at + cap.w then begun[#begun + 1] = at end
    end
    if #begun >= cap.n then
      table.sort(begun)
      local due_ms = begun[#begun - cap.n + 1] + cap.w
      if not refused or due_ms > refused.due then
        refused = { reason = cap.y, state = 'deferred', due = due_ms, detail = cap.d .. '; ' .. #begun .. ' counted' }
      end
    end
  end
  return refused
end

local SPOKEN = { completed = true, callback = true, do_not_call = true }
-- What the attempt counts as, nil when no call was placed.
local function counts_as(attempt)
  local f = attempt.f
  if attempt.s == 'reserved' or attempt.s == 'released' then return nil end
  if attempt.d == 'abandoned' then return 'b' end
  if f.m or attempt.d == 'machine' then return 'a' end
  if f.a or f.w or SPOKEN[attempt.d] then return 'c' end
  return 'a'
end

-- Everything the attempt is counted under: its contact, and the number it called, which it keeps: the backend may correct the contact's.
-- Where memory was lost and with it which of several numbers that was, all of them.
local function names_of(contact, record, attempt)
  local names, numbers = { campaign .. ':' .. contact }, record.e or {}
  if attempt.to then
    numbers = { attempt.to }
  elseif attempt.ph then
    numbers = { numbers[attempt.ph] }
  end
  if #numbers == 1 then attempt.to = numbers[1] end
  for _, number in ipairs(numbers) do names[#names + 1] = bare(number) end
  return names
end

-- Counts the attempt as its facts say by now; to be called whenever they change. `was` is the id it had, where it has a new one.
local function count_call(recent, newest, contact, record, attempt, was)
  local longest = tonumber(redis.call('HGET', recent, 'longest') or nil)
  if not longest then return end -- no campaign has had caps
  local kind = counts_as(attempt)
  for _, name in ipairs(names_of(contact, record, attempt)) do
    local calls, latest = {}, 0
    local function add(call)
      calls[#calls + 1] = call
      latest = math.max(latest, call[4] or call[2])
    end
    for _, call in ipairs(calls_of(recent, name)) do
      local is_this = (call[1] == attempt.id or call[1] == was) and call[2] == attempt.sm
      if not is_this and ledger_ms < (call[4] or call[2]) + longest then add(call) end
    end
    if kind then add({ attempt.id, attempt.sm, kind, attempt.em }) end
    if #calls == 0 then
      redis.call('HDEL', recent, name)
      redis.call('ZREM', newest, name)
    else
      redis.call('HSET', recent, name, cjson.encode(calls))
      redis.call('ZADD', newest, digits(latest), name)
    end
  end
end

-- Forgets whoever was called longer ago than any window lasts, at most so many.
local function forget_calls(recent, newest, most)
  local longest = tonumber(redis.call('HGET', recent, 'longest') or nil)
  local names = longest and redis.call('ZRANGEBYSCORE', newest, '-inf', digits(ledger_ms - longest), 'LIMIT', 0, most)
  if not names or #names == 0 then return end
  redis.call('HDEL', recent, unpack(names))
  redis.call('ZREM', newest, unpack(names))
end
