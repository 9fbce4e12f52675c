-- How often a contact or a number was called lately, and whether its caps (`rules/caps.py`) allow another
-- call. Calls of all campaigns are counted as soon as one campaign has had caps, for the longest window any
-- of them has had.
--   call_history          hash: number (digits), `:contact` of all campaigns, or `campaign:contact` -> JSON list of calls; `longest`
--                         -> longest window, ms
--   call_history:newest   sorted set: the same names by the end of their newest call, ms
-- A call is a list, short because there are many: {attempt id, sent ms, kind, ended ms?, subject?}. Kinds: 'c' a
--   conversation with a person, 'b' abandoned, 'm' answered by a machine, 'a' any other attempt. It is a function of the attempt's
--   facts, so events commute. An attempt that was not placed is no call.
-- Caps are JSON in the totals, field `caps`: the struct `Caps`.

-- Stores the campaign's caps ('' = none) for scripts that do not get them as an argument. Returns them, or
-- nil without caps. Changed caps make recheck_deferred.lua check the deferred contacts again.
local function save_caps(call_history, encoded)
  local stored = redis.call('HGET', totals, 'caps')
  if stored and stored ~= encoded then redis.call('HSET', totals, 'recheck', '0 1') end
  if encoded == '' then
    if stored then redis.call('HDEL', totals, 'caps') end
    return nil
  end
  if stored ~= encoded then redis.call('HSET', totals, 'caps', encoded) end
  local caps = cjson.decode(encoded)
  if tonumber(redis.call('HGET', call_history, 'longest') or 0) < (caps.longest_ms or 0) then
    redis.call('HSET', call_history, 'longest', format_number(caps.longest_ms))
  end
  return caps
end

local function saved_caps()
  local raw = redis.call('HGET', totals, 'caps')
  return raw and cjson.decode(raw) or nil
end

local function recent_calls(call_history, name) return cjson.decode(redis.call('HGET', call_history, name) or '[]') end

-- A contact id is the same person in all campaigns, unless campaigns have persons of their own (`Keys.persons_up`).
local function person_name(contact)
  local own = 'sd:c:' .. campaign .. ':persons_up'
  return (string.sub(persons_up, -#own) == own and campaign or '') .. ':' .. contact
end

-- Returns the refusal that lasts longest, or nil when the caps allow another call.
local cap_refusal
do -- Lua takes 200 local names at once
  -- Returns the number of the next call, or of the reserved one; nil when no number is known.
  local function number_to_call(record)
    local callback = open_callback(record)
    return callback and callback.nn or record.e and record.e[record.ni or 1]
  end

  -- Returns the calls that a cap of this scope looks at, each once.
  local function calls_in_scope(call_history, scope, contact, record)
    local names, next_number = { person_name(contact) }, number_to_call(record)
    local function add(number)
      for _, name in ipairs(spellings_of(server, number)) do names[#names + 1] = name end
    end
    if scope == 'number' and next_number then names = spellings_of(server, next_number) end
    if scope == 'person' or scope == 'subject' then
      for _, number in ipairs(record.e or {}) do add(number) end
      if next_number then add(next_number) end
    end
    local calls, is_known, prefix = {}, {}, campaign .. ':'
    for _, name in ipairs(names) do
      for _, call in ipairs(recent_calls(call_history, name)) do
        local key = call[1] .. ' ' .. call[2]
        local is_other = scope == 'contact' and string.sub(call[1], 1, #prefix) ~= prefix
          or scope == 'subject' and record.su and call[5] and call[5] ~= record.su -- one without a subject is about any
        if not is_known[key] and not is_other then calls[#calls + 1] = call end
        is_known[key] = true
      end
    end
    return calls
  end

  -- Whether a cap of a state is for this contact; for one whose place is not known, it is.
  local function is_for(cap, record)
    if not cap.only or not record.z then return true end
    local states = string.match(record.z, '|(.*)$') or ''
    return string.find(',' .. states .. ',', ',' .. cap.only .. ',', 1, true) ~= nil
  end

  local CONSENT_PAUSE_MS = 86400000 -- the backend's correction is taken over at once
  local function consent_refusal(consent, record)
    local given_ms = record.cs
    local is_given = given_ms and (given_ms > 0 or not consent.max_age_ms) and given_ms <= server_ms
    if is_given and (not consent.max_age_ms or server_ms < given_ms + consent.max_age_ms) then return nil end
    return { reason = 'no_consent', state = 'deferred', due = ledger_ms + CONSENT_PAUSE_MS, detail = consent.source }
  end

  function cap_refusal(call_history, caps, contact, record)
    local refusal = caps and caps.consent and consent_refusal(caps.consent, record)
    if refusal then return refusal end
    for _, cap in ipairs(caps and caps.rules or {}) do
      local counted, day = {}, cap.is_daily and record.dy -- when the window of each counted call began
      if day and server_ms >= day[2] then day = nil end
      for _, call in ipairs(is_for(cap, record) and calls_in_scope(call_history, cap.scope, contact, record) or {}) do
        local at = cap.from_end and call[4] or call[2]
        local is_in_window = ledger_ms < at + cap.window_ms
        if day then is_in_window = at - (ledger_ms - server_ms) >= day[1] end
        if (cap.of == 'a' or cap.of == call[3]) and is_in_window then counted[#counted + 1] = at end
      end
      if #counted >= cap.count then
        table.sort(counted)
        local due_ms = counted[#counted - cap.count + 1] + cap.window_ms
        if day then due_ms = day[2] + (ledger_ms - server_ms) end
        if not refusal or due_ms > refusal.due then
          local detail = cap.source .. '; ' .. #counted .. ' counted'
          refusal = { reason = cap.reason, state = 'deferred', due = due_ms, detail = detail }
        end
      end
    end
    return refusal
  end
end

local count_call
do
  local SPOKEN = { completed = true, callback = true, do_not_call = true }
  -- Returns the kind of call an attempt counts as, or nil when no call was placed.
  local function counted_kind(attempt)
    local f = attempt.f
    if attempt.s == 'reserved' or attempt.s == 'released' then return nil end
    if attempt.d == 'abandoned' then return 'b' end
    if f.m or attempt.d == 'machine' then return 'm' end
    if f.a or f.w or SPOKEN[attempt.d] then return 'c' end
    return 'a'
  end

  -- Returns the names the attempt is counted under: its contact and the number it called. The attempt keeps
  -- that number, because the backend may correct the contact's. When a data loss left open which number it
  -- was, all numbers of the contact count.
  local function history_names(contact, record, attempt)
    local names, numbers = { person_name(contact) }, record.e or {}
    if attempt.to then
      numbers = { attempt.to }
    elseif attempt.ph then
      numbers = { numbers[attempt.ph] }
    end
    if #numbers == 1 then attempt.to = numbers[1] end
    for _, number in ipairs(numbers) do names[#names + 1] = without_plus(number) end
    return names
  end

  -- Counts the attempt by its present facts; to be called whenever they change.
  function count_call(call_history, newest_calls, contact, record, attempt)
    local longest = tonumber(redis.call('HGET', call_history, 'longest') or nil)
    if not longest then return end -- no campaign has had caps
    local kind = counted_kind(attempt)
    for _, name in ipairs(history_names(contact, record, attempt)) do
      local calls, newest_ms = {}, 0
      local function add(call)
        calls[#calls + 1] = call
        newest_ms = math.max(newest_ms, call[4] or call[2])
      end
      for _, call in ipairs(recent_calls(call_history, name)) do
        local is_this = call[1] == attempt.id and call[2] == attempt.sm
        if not is_this and ledger_ms < (call[4] or call[2]) + longest then add(call) end
      end
      if kind then add({ attempt.id, attempt.sm, kind, attempt.em or record.su and false, record.su }) end
      if #calls == 0 then
        redis.call('HDEL', call_history, name)
        redis.call('ZREM', newest_calls, name)
      else
        redis.call('HSET', call_history, name, cjson.encode(calls))
        redis.call('ZADD', newest_calls, format_number(newest_ms), name)
      end
    end
  end
end

-- Removes names whose newest call is older than the longest window, at most `limit`.
local function expire_calls(call_history, newest_calls, limit)
  local longest = tonumber(redis.call('HGET', call_history, 'longest') or nil)
  local names = longest
    and redis.call('ZRANGEBYSCORE', newest_calls, '-inf', format_number(ledger_ms - longest), 'LIMIT', 0, limit)
  if not names or #names == 0 then return end
  redis.call('HDEL', call_history, unpack(names))
  redis.call('ZREM', newest_calls, unpack(names))
end
