-- What an attempt is known to be, as a function of the set of facts seen: events commute because sets do.
-- An attempt: {n = number, t = reservation token, b = begin token?, mr = max attempts, rd = retry delay ms,
--   rm, sm, em = reserved, sent, ended at ms, c = call id in events?, rc = call id in the reply?, v = verdict of the
--   reply?, s = state, d = disposition?, f = facts}.
-- Facts: r ringing · a answered · m by a machine · c call_completed's disposition · x call_failed's disposition ·
--   b abandoned · i the API says it will never be placed · z the API says it was not placed ·
--   dl no news until the deadline · mx no end until the longest conversation was over.

-- What contradicting producers said is settled by rank, so that order does not matter.
local RANK = {
  failed = 1, no_answer = 2, busy = 3, machine = 4, abandoned = 5, invalid = 6, callback = 7, completed = 8,
  do_not_call = 9,
}
local function stronger(old, new)
  if not old then return new end
  return RANK[new] > RANK[old] and new or old
end

-- facts -> state, disposition (only when ended). Events beat replies, replies beat silence.
local function judge(f)
  if f.b then return 'ended', 'abandoned' end
  if f.c then return 'ended', f.c end
  if f.x then
    if f.a and RANK[f.x] < RANK.machine then return 'ended', 'completed' end -- a person was reached
    return 'ended', f.x
  end
  if f.a then
    if f.mx then return 'ended', 'completed' end
    return 'answered'
  end
  if f.i then return 'ended', 'invalid' end
  if f.dl then return 'ended', 'failed' end
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

local RETRIED = { no_answer = true, busy = true, failed = true }

-- Draws the consequences of an attempt's facts; `position` is its place in record.h. Returns true when the contact
-- left the line (its call ended). The caller has changed attempt.f and saves the record.
local function draw_consequences(contact, record, position, before, max_call_ms)
  local attempt = record.h[position]
  local was_state, was_disposition = attempt.s, attempt.d
  attempt.s, attempt.d = judge(attempt.f)
  local changed = attempt.s ~= was_state or attempt.d ~= was_disposition
  if attempt.s == 'ended' then
    attempt.em = attempt.em or now
  elseif changed then
    attempt.em = nil
  end
  change_totals(before, adds(attempt))
  if not changed or position ~= #record.h then return false end

  if attempt.s == 'released' then
    record.a = attempt.n - 1
    tell_backend(contact, 'pending', record.a, nil)
    to_ready(contact, record)
    return true
  end
  record.a = attempt.n
  if attempt.s == 'answered' then
    tell_backend(contact, 'answered', attempt.n, attempt.sm)
    move(contact, record, 'connected', now + max_call_ms)
    return false
  end
  if attempt.s ~= 'ended' then
    if record.p ~= 'unanswered' then -- the reply said "not placed", an event says otherwise
      tell_backend(contact, 'dialing', attempt.n, attempt.sm)
      move(contact, record, 'unanswered', now + attempt.dd)
    end
    return false
  end
  tell_backend(contact, attempt.d, attempt.n, attempt.em)
  if RETRIED[attempt.d] and attempt.n < attempt.mr then
    move(contact, record, 'waiting', attempt.em + attempt.rd)
  else
    move(contact, record, 'finished', math.huge)
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

-- Whether call events of other attempts have come since this one was sent, and none that might be its own still waits.
local function silence_means_something(attempt, deadline)
  local seen = redis.call('HMGET', evidence, 'last_ms', 'last_attempt', 'other_ms')
  local id = attempt.id
  local others_ms = tonumber((seen[2] ~= id and seen[1] or seen[3]) or 0)
  if others_ms <= attempt.sm then return false, 'no_call_events' end
  local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
  if oldest and tonumber(string.match(oldest[1], '^%d+')) <= deadline then return false, 'events_waiting' end
  return true
end
