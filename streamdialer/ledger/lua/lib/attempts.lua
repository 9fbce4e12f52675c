-- What is known of an attempt: a function of the set of facts that were seen. Events commute because sets do.
-- An attempt is an item of `h` in its contact's record; `Attempt` and `AttemptFacts` in `ledger/records.py` say
-- what its fields mean. A fact is missing until it is known.

-- Dispositions that contradict each other are settled by rank, so that the order of events does not matter.
local RANK = {
  cancelled = 0, failed = 1, congestion = 2, no_answer = 3, busy = 4, machine = 5, abandoned = 6, invalid = 7, callback = 8,
  completed = 9, do_not_call = 10,
}
-- Returns the disposition that wins and its cause. Of two causes of one disposition, the one that sorts last
-- wins.
local function stronger(old, new, old_cause, new_cause)
  if not old or RANK[new] > RANK[old] then return new, new_cause end
  if new == old and new_cause and new_cause > (old_cause or '') then return new, new_cause end
  return old, old_cause
end

-- Whether no event source lists the call any more, and no event has shown it beginning or answered since.
local function is_missing(attempt)
  return attempt.f.sl and (attempt.lm or 0) < attempt.f.sl
end

-- Returns state, and for an ended attempt the kind of end and its cause. Events beat replies, replies beat
-- silence. States: reserved · sent · ringing · answered · orphaned (lost by Redis, may be up) · released
-- (not placed) · ended.
local function attempt_state(attempt)
  local f, missing = attempt.f, is_missing(attempt)
  if f.b then return 'ended', 'abandoned' end
  if f.c then return 'ended', f.c end
  if f.x then
    if f.a and RANK[f.x] < RANK.machine then return 'ended', 'completed' end -- a person was reached
    return 'ended', f.x, RANK[f.x] < RANK.callback and f.xc or nil
  end
  if f.a then
    if f.mx or missing then return 'ended', 'completed' end
    return 'answered'
  end
  if f.i then return 'ended', 'invalid' end
  if f.dl or missing then return 'ended', f.w and 'completed' or 'failed' end
  if f.u then return 'orphaned' end
  if f.r then return 'ringing' end
  if f.z then return 'released' end
  return 'sent'
end

-- Returns what an attempt adds to the totals, as {name = number}. `talks` and `talk_ms` are calls that were answered and
-- have ended, and how long they lasted.
local function totals_of(attempt)
  local sums, counted = {}, { no_answer = true, busy = true, failed = true, abandoned = true, machine = true }
  if attempt.s == 'reserved' or attempt.s == 'released' then return sums end
  sums.total_calls = 1
  if attempt.f.a or attempt.f.b then sums.answered_calls = 1 end
  if (attempt.f.a or attempt.f.b) and not attempt.f.m then sums.answered_by_person = 1 end
  local number = math.min(attempt.n, 10) -- the last one counts all later attempts
  sums['tried:' .. number] = 1
  if sums.answered_by_person and attempt.d ~= 'abandoned' then sums['reached:' .. number] = 1 end
  if attempt.s == 'ended' then
    if counted[attempt.d] then sums[attempt.d] = 1 end
    if attempt.f.m and attempt.d ~= 'abandoned' then sums.machine = 1 end
    if attempt.am and attempt.em then sums.talks, sums.talk_ms = 1, math.max(0, math.floor(attempt.em - attempt.am)) end
  end
  return sums
end

local function change_totals(before, after)
  for _, sums in ipairs({ before, after }) do
    for name in pairs(sums) do
      local change = (after[name] or 0) - (before[name] or 0)
      if change ~= 0 and (sums == before or not before[name]) then redis.call('HINCRBY', totals, name, change) end
    end
  end
end

-- Undoes a reservation that was never sent: the contact is ready again. Saves the record.
local function unreserve(contact, record)
  table.remove(record.h)
  make_ready(contact, record)
  if #record.h == 0 then record.h = nil end -- cjson would write an empty list as an object
  save_record(contact, record)
end

-- Returns the id of the newest entry of `events`.
local newest_id -- read when first needed
local function newest_event_id()
  newest_id = newest_id or last_generated_id(events) or '0-0' -- the stream does not exist yet
  return newest_id
end

-- Whether the id is of an earlier stream: `events` was deleted or made anew since, and its newest id is older.
local function is_outdated(id)
  return tonumber(string.match(id, '^%d+')) > server_ms and is_id_after(id, newest_event_id())
end

-- Returns the id of the newest event when the attempt was sent; nil when it was not sent.
local function sent_after(attempt)
  if not attempt.ev or not is_outdated(attempt.ev) then return attempt.ev end
  return string.format('%.0f-0', attempt.sm - (ledger_ms - server_ms))
end

local function is_newer(attempt, than, last, its_attempt, other)
  local newest = its_attempt ~= attempt.id and last or other
  return newest and not is_outdated(newest) and is_id_after(newest, than)
end

-- Whether call events of other attempts have arrived since this one was sent, or since `ms` (ledger clock): some program
-- writes events.
local function other_calls_reported(attempt, ms)
  local than = ms and string.format('%.0f-0', ms - (ledger_ms - server_ms)) or sent_after(attempt) or '0-0'
  return is_newer(attempt, than, unpack(redis.call('HMGET', event_watermark, 'last', 'attempt', 'other')))
end

-- Whether another attempt was seen to begin or to be answered since this one was sent. Only then does its silence
-- prove something: to a program that writes only ends, every long conversation is silent.
local function other_calls_begun(attempt)
  local stored = redis.call('HMGET', event_watermark, 'begun', 'begun_attempt', 'begun_other')
  return is_newer(attempt, sent_after(attempt) or '0-0', unpack(stored))
end
