-- What an attempt is known to be, as a function of the set of facts seen: events commute because sets do.
-- An attempt: {n = number, t = reservation token, b = begin token?, p = past, y = key of the rule it ended under?,
--   u = it does not count? (lib/retry.lua), rm, sm, am, em = reserved, sent, answered, ended at ms, ev = newest event
--   when it was sent, tr = the call's `traceparent`?, dp = newest event when its deadline had passed?, ph = which number (lib/phone_rotation.lua)?,
--   cb = entry of the callback it was made for?, to = the number it called, where a callback asked for it or caps count it?, ag = the agent it was made for?, c = call
--   id in events?, rc = call id in
--   the reply?, v = verdict of the reply?, s = state, d = disposition?, f = facts, g = the rebuilding in which the backend
--   may know that it is over?, k = the one in which it is shown as up?}.
-- Facts: r ringing · a answered · m by a machine · c call_completed's disposition · x call_failed's disposition ·
--   xc its cause · b abandoned · i the API says it will never be placed · z the API says it was not placed ·
--   dl no news until the deadline · mx no end until the longest conversation was over · u memory was lost while it was
--   up, and no news came in its ringing time · w the backend shows it as answered.

-- What contradicting producers said is settled by rank, so that order does not matter.
local RANK = {
  failed = 1, congestion = 2, no_answer = 3, busy = 4, machine = 5, abandoned = 6, invalid = 7, callback = 8,
  completed = 9, do_not_call = 10,
}
-- Of two causes of one disposition, the one that sorts last stands.
local function stronger(old, new, old_cause, new_cause)
  if not old or RANK[new] > RANK[old] then return new, new_cause end
  if new == old and new_cause and new_cause > (old_cause or '') then return new, new_cause end
  return old, old_cause
end

-- facts -> state, and when ended: how, by which cause. Events beat replies, replies beat silence.
local function judge(f)
  if f.b then return 'ended', 'abandoned' end
  if f.c then return 'ended', f.c end
  if f.x then
    if f.a and RANK[f.x] < RANK.machine then return 'ended', 'completed' end -- a person was reached
    return 'ended', f.x, RANK[f.x] < RANK.callback and f.xc or nil
  end
  if f.a then
    if f.mx then return 'ended', 'completed' end
    return 'answered'
  end
  if f.i then return 'ended', 'invalid' end
  if f.dl then return 'ended', f.w and 'completed' or 'failed' end
  if f.u then return 'orphaned' end
  if f.r then return 'ringing' end
  if f.z then return 'released' end
  return 'sent'
end

local COUNTED = { no_answer = true, busy = true, failed = true, abandoned = true, machine = true }
-- What an attempt adds to the totals, as {name = 1}.
local function adds(attempt)
  local sums = {}
  if attempt.s == 'reserved' or attempt.s == 'released' then return sums end
  sums.total_calls = 1
  if attempt.f.a or attempt.f.b then sums.answered_calls = 1 end
  if (attempt.f.a or attempt.f.b) and not attempt.f.m then sums.people = 1 end
  if attempt.s == 'ended' then
    if COUNTED[attempt.d] then sums[attempt.d] = 1 end
    if attempt.f.m and attempt.d ~= 'abandoned' then sums.machine = 1 end
  end
  return sums
end

local function change_totals(before, after)
  for name in pairs(before) do
    if not after[name] then redis.call('HINCRBY', totals, name, -1) end
  end
  for name in pairs(after) do
    if not before[name] then redis.call('HINCRBY', totals, name, 1) end
  end
end

-- The last 31 days by the hour of sending, for the abandon rate: `p` people, `b` abandoned, in fields that are used again;
-- a value is the hour since 1970 times a million, plus the count.
local IN_WINDOW = { people = 'p', abandoned = 'b' }
local function change_window(attempt, before, after)
  for name, letter in pairs(IN_WINDOW) do
    local change = (after[name] or 0) - (before[name] or 0)
    if change ~= 0 then
      local hour = math.floor(attempt.sm / 3600000)
      local field = letter .. hour % 744
      local stored = tonumber(redis.call('HGET', totals, field) or 0)
      if math.floor(stored / 1000000) == hour then
        redis.call('HINCRBY', totals, field, change)
      elseif change > 0 and stored < hour * 1000000 then
        redis.call('HSET', totals, field, digits(hour * 1000000 + change))
      end
    end
  end
end

-- The word for other programs: to them, a congested network is one more reason why a call failed.
local function disposition_of(kind) return kind == 'congestion' and 'failed' or kind end

local LISTED_AGAIN = { no_answer = true, busy = true, failed = true } -- the backend's lists bring them back
-- Whoever ended like this is not called back either.
local FINAL = { invalid = true, do_not_call = true }

-- Draws the consequences of an attempt's facts; `position` is its place in record.h. Returns true when the contact
-- left the line (its call ended). The caller has changed attempt.f and saves the record.
local function draw_consequences(contact, record, position, before, max_call_ms)
  local function tell(status, attempts, at)
    tell_backend(contact, record.dnc and 'do_not_call' or status, attempts, at)
  end
  local attempt = record.h[position]
  local was_state, was_disposition, was_key = attempt.s, attempt.d, attempt.y
  local kind, cause, delay_ms
  attempt.s, kind, cause = judge(attempt.f)
  attempt.d, attempt.y, attempt.u = disposition_of(kind), nil, nil
  if kind == 'invalid' and has_another_number(contact, record, attempt) then kind, cause = 'failed', nil end
  if attempt.s == 'ended' then delay_ms = apply_plan(retry_plan(), attempt, kind, cause) end
  local changed = attempt.s ~= was_state or attempt.d ~= was_disposition or attempt.y ~= was_key
  if attempt.s == 'ended' then
    attempt.em = attempt.em or ledger_ms
  elseif changed then
    attempt.em, attempt.dp = nil, nil -- its next deadline is another one
  end
  local after = adds(attempt)
  change_totals(before, after)
  change_window(attempt, before, after)
  local newest = record.h[#record.h]
  if changed and position == #record.h - 1 and (newest.s == 'reserved' or newest.s == 'released') then
    table.remove(record.h) -- nothing was sent for it, and the call before it is not what it seemed to be
  end
  if not changed or position ~= #record.h then return false end

  if attempt.s == 'released' then
    record.a, record.sn = attempt.p.a, ledger_ms
    to_ready(contact, record)
    tell_backend(contact, status_of(record), record.a, nil)
    return true
  end
  record.a, attempt.g = attempt.p.a + (attempt.u and 0 or 1), nil
  if attempt.s == 'answered' then
    tell('answered', told_attempts(record), attempt.sm)
    move(contact, record, 'connected', ledger_ms + max_call_ms)
    return false
  end
  if attempt.s == 'orphaned' then
    move(contact, record, 'orphaned', attempt.sm + max_call_ms)
    return true
  end
  if attempt.s ~= 'ended' then
    if record.p ~= 'dialing' then -- the reply said "not placed", an event says otherwise
      tell('dialing', told_attempts(record), attempt.sm)
      move(contact, record, 'dialing', ledger_ms + attempt.dd)
    end
    return false
  end
  if record.q == 3 then
    move(contact, record, 'final', ledger_ms + max_call_ms)
    return true
  end
  local disposition = turn_number(contact, record, attempt)
  if owed(record) and not record.dnc and not FINAL[disposition] then
    to_ready(contact, record)
    tell_backend(contact, status_of(record), told_attempts(record), attempt.em)
    return true
  end
  tell(disposition, told_attempts(record), attempt.em)
  if record.q and LISTED_AGAIN[disposition] then record.q = 2 end
  if delay_ms and not record.q then
    wait(contact, record, attempt.em + delay_ms, 'retry', attempt.y)
  else
    move(contact, record, 'final', math.huge)
  end
  return true
end

-- Undoes a reservation that was never sent: the contact is ready again, as if nobody had taken it.
local function unreserve(contact, record)
  table.remove(record.h)
  to_ready(contact, record)
  if #record.h == 0 then record.h = nil end -- an empty Lua table would come back as an object
  save_record(contact, record)
end

-- Entries of `events` are compared by position: their times stand still after the server's clock was set back.
local function newest_event()
  local stream = redis.pcall('XINFO', 'STREAM', events)
  if stream.err and not string.find(stream.err, 'no such key', 1, true) then error(stream.err) end
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then return stream[i + 1] end
  end
  return '0-0' -- there is no such stream yet
end

local function is_after(entry, other)
  local ms, sequence = string.match(entry, '^(%d+)%-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)%-(%d+)$')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms > other_ms or ms == other_ms and tonumber(sequence) > tonumber(other_sequence)
end

-- Whether call events of other attempts have come since this one was sent: only then does its silence say something.
local function others_speak(attempt)
  local watermark = redis.call('HMGET', event_watermark, 'last', 'attempt', 'other')
  local newest = watermark[2] ~= attempt.id and watermark[1] or watermark[3]
  return newest and is_after(newest, attempt.ev or '0-0')
end

-- Notes that the contact has a call the ledger had forgotten: as an attempt that was sent when the loss was noticed. False
-- when another call of the contact is known to be up. The caller draws the consequences and saves the record.
local IS_UP = { sent = true, ringing = true, answered = true, orphaned = true }
local function remember_attempt(contact, record, lost_ms, deadline_ms)
  record.h = record.h or {}
  local last = record.h[#record.h]
  if last and IS_UP[last.s] then return false end
  local attempt = last
  if last and last.s == 'released' then table.remove(record.h) end
  if not last or last.s ~= 'reserved' then
    attempt = { n = next_number(record), p = past_of(record), t = 'remembered', f = {}, rm = lost_ms }
    while #record.h >= 8 do table.remove(record.h, 1) end
    record.h[#record.h + 1] = attempt
  end
  attempt.id = campaign .. ':' .. contact .. ':' .. attempt.n
  attempt.s, attempt.b, attempt.sm, attempt.ev = 'sent', 'remembered', lost_ms, '0-0'
  attempt.dd = deadline_ms
  local asked = owed(record)
  if asked and asked.at <= server_ms then attempt.cb = asked.e end -- it may have been the callback
  record.a = attempt.p.a + 1
  change_totals({}, adds(attempt))
  move(contact, record, 'dialing', ledger_ms + deadline_ms)
  return true
end
