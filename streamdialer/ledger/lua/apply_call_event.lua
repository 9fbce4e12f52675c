-- Adds what one call event says to the facts of the attempt it belongs to. Any order, repetition and delay of
-- an attempt's events leads to the same ledger.
-- KEYS 1–23 of the campaign, 24 api, 25 call history, 26 its newest calls, 27 do-not-call list, 28 campaign's
--   pending_dnc, 29 contacts by number, 30 first events, 31 outcomes, 32 agents, 33 agent calls, 34 shared agents,
--   then per queue passed the keys of `Keys.of_agents_in`
-- ARGV campaign, contact, fact (r | a | c | x | b, lib/attempts.lua), disposition (for c and x), call id,
--   agent, answered by a machine ('1'), id of the event's entry, longest possible conversation ms, deadline
--   after sending ms, cause (for x; '' = not known), the campaign's queue ('' = not known), attempt id ('' = not given),
--   what the backend says of the contact after "ask_backend" (else six times ''): priority, attempts, JSON, it is in a
--   call ('1'), and the campaign's retry plan JSON and caps JSON ('' = none), then the call's duration in seconds ('' =
--   not known), most outcomes kept, queues passed (JSON list)
-- Returns {outcome, attempt id ('' = none), the call's `traceparent` ('' = none)}. Outcomes: "applied" ·
--   "unchanged" it was known · "ended" applied, and the call is over · "unknown_campaign" · "unknown_contact"
--   · "no_attempt" no call was placed that the event can be about · "foreign_call" the call id belongs to no
--   attempt of this contact · "foreign_attempt" the attempt id belongs to none · "ask_backend" Redis may have lost
--   this call: the backend must show the contact · "too_many_lost" no more lost calls are remembered · or
--   {"queues", name…} the keys of these queues are needed, too
-- uses: clock data_loss spellings campaign api_queue outbox phone_rotation retry stream_ids attempts bounded_stream outcome apply_facts evidence observations agent_activity agents suppression number_index call_history
local api, call_history, newest_calls = unpack(KEYS, 24, 26)
local contact, fact, call_id, agent = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local entry, max_call_ms = ARGV[8], tonumber(ARGV[9])
local written_ms = written_at(entry, ledger_ms, server_ms)
local is_ending, is_begin = fact == 'c' or fact == 'x' or fact == 'b', fact == 'r' or fact == 'a'
use_agents(32, ARGV[22])
local sets = queue_sets[ARGV[12]] -- nil: its queue is not known

-- Part 0: who takes an answered call: the agent named, else a guess.

local taker, taker_record, is_guess = agent, nil, false
do -- Lua takes 200 local names at once: those of no further use end with their part
  local JUST_NOW_MS = 5000
  -- Returns an agent who became busy just now by an event of their own, else the free agent that was heard of last. A
  -- list or an event that shows another agent as busy corrects the guess.
  local function guess_taker()
    if not sets then return nil end
    for _, candidate in ipairs(redis.call('ZREVRANGE', sets.busy, 0, 2)) do
      local its = load_agent(candidate)
      if its and its.s == 'busy' and its.e and not its.c and its.t > written_ms - JUST_NOW_MS then return candidate end
    end
    return redis.call('ZREVRANGE', sets.free, 0, 0)[1]
  end

  local by_machine = ARGV[7] == '1' -- it takes an agent only where one is named
  if fact == 'a' and not (by_machine and agent == '') then
    taker_record = agent ~= '' and load_agent(agent) or nil
    if not taker_record and not by_machine then -- not named, or by a name that no list has
      taker, is_guess = guess_taker(), true
      taker_record = taker and load_agent(taker)
    end
    local missing = { 'queues' }
    note_missing(missing, taker_record)
    if #missing > 1 then return missing end
  end
end

-- Part 1: the attempt the event belongs to.

local record, position = load_record(contact), nil
local function has_call_id(candidate)
  if candidate.c == call_id or candidate.rc == call_id then return true end
  for _, leg in ipairs(candidate.cl or {}) do
    if leg == call_id then return true end
  end
  return false
end

do
  local attempt_id, deadline_ms = ARGV[13], tonumber(ARGV[10])
  local its_prefix, number = campaign .. ':' .. contact .. ':', nil -- number: of the attempt that the event names
  if attempt_id ~= '' then
    number = string.sub(attempt_id, 1, #its_prefix) == its_prefix
      and tonumber(string.match(attempt_id, '^%d+', #its_prefix + 1))
    if not number then return { 'foreign_attempt', '' } end -- it is another contact's
  end

  -- After a data loss, an event that belongs to no known attempt belongs to a call the ledger has lost, unless
  -- a later call of the contact is known, or the contact is final. Called only for such events.
  local lost_ms = 0
  local function may_be_lost_call(record)
    server_trouble(server, ledger_ms, deadline_ms) -- perhaps no script has noticed the loss yet
    lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
    if lost_ms == 0 or ledger_ms >= lost_ms + max_call_ms then return false end
    local last = record and record.h and record.h[#record.h]
    if record and record.p == 'final' then return false end
    return not (last and last.sm and last.sm >= lost_ms and last.t ~= 'remembered')
  end

  local new_call -- the JSON of a contact that only the backend knows
  -- Returns the record of such a contact.
  local function record_of_backend()
    local priority, attempts, call, is_in_call = tonumber(ARGV[14]), tonumber(ARGV[15]), ARGV[16], ARGV[17] == '1'
    if redis.call('HEXISTS', totals, 'retry') == 0 then save_plan(ARGV[18]) end
    save_caps(call_history, ARGV[19])
    local record = {
      a = is_in_call and math.max(0, attempts - 1) or attempts, pr = priority,
      o = format_number(ready_order(priority, ledger_ms, 0)),
    }
    new_call = call
    local dnc_list, pending_dnc, contacts_by_number = unpack(KEYS, 27, 29)
    apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
    return record
  end

  -- Of contacts that Redis had lost with their calls. Each of them is in the backend, and none is final there.
  local MOST_REMEMBERED, was_known = 5000, record ~= nil
  if not record then
    local is_known = redis.call('HEXISTS', directory, campaign) == 1
    local unknown = is_known and 'unknown_contact' or 'unknown_campaign'
    if not may_be_lost_call(nil) then return { unknown, '' } end
    local epoch = redis.call('HGET', server, 'rebuild_epoch') or ''
    local is_rebuilt = epoch == '' or redis.call('HGET', totals, 'rebuilt') == epoch
    if is_ending and is_rebuilt then return { unknown, '' } end -- late news of a contact that was removed long ago
    if ARGV[14] == '' then return { 'ask_backend', '' } end
    if tonumber(redis.call('HGET', server, 'remembered') or 0) >= MOST_REMEMBERED then return { 'too_many_lost', '' } end
    record = record_of_backend()
  end

  local history, why_not = record.h or {}, nil

  -- Whether an unknown call id may be that of another leg of the attempt's call: no other call of the contact is up,
  -- and the event was written before this one ended.
  local function may_be_another_leg(of)
    for i, other in ipairs(history) do
      if i ~= of and IS_UP[other.s] then return false end
    end
    local ended_by = history[of].ee
    return not ended_by or not is_id_after(entry, ended_by) and not is_outdated(ended_by)
  end

  for i, candidate in ipairs(history) do
    local is_named = attempt_id ~= '' and (candidate.id == attempt_id or candidate.ai == attempt_id)
      or attempt_id == '' and call_id ~= '' and has_call_id(candidate)
    if is_named and candidate.ev then position = i end
  end
  local newest = history[#history]
  local has_made_up_id = newest and newest.t == 'remembered' and not newest.ai
  if not position and number and has_made_up_id and (IS_UP[newest.s] and number >= newest.n or number == newest.n) then
    newest.ai, position = attempt_id, #history -- of the lost call that it stands for
  end
  if not position and attempt_id ~= '' then
    why_not = 'foreign_attempt'
  elseif not position then -- no attempt has the call id: the newest attempt that was sent before the event was written
    for i = #history, 1, -1 do
      if history[i].ev and is_id_after(entry, sent_after(history[i])) then
        position = i
        break
      end
    end
    local candidate = position and history[position]
    if candidate and call_id == '' and not is_ending and candidate.s == 'ended' and not candidate.f[fact]
      and candidate.t ~= 'remembered' and may_be_lost_call(record) and candidate.sm < lost_ms then
      why_not = 'no_attempt' -- a call that has ended cannot ring again: this is another call
    end
    if candidate and call_id ~= '' and candidate.c and not may_be_another_leg(position) then why_not = 'foreign_call' end
    if not position then why_not = 'no_attempt' end
  end
  if why_not then
    if number and #history == 0 then -- what the backend has counted, a rebuild has forgotten
      if was_known and (number < record.a or number == record.a and fact == 'x') then return { why_not, '' } end
      if number == record.a then record.a = math.max(0, number - 1) end
    end
    if newest and IS_UP[newest.s] or not may_be_lost_call(record) then return { why_not, '' } end
    -- All but a ringing call changes what the backend is to show. First: where the update has no place, nothing is changed.
    if fact ~= 'r' then enqueue_update(contact, 'dialing', nil, lost_ms) end
    if new_call then
      redis.call('HINCRBY', server, 'remembered', 1)
      redis.call('HSET', contacts, contact, new_call)
    end
    remember_attempt(contact, record, lost_ms, deadline_ms)
    redis.call('HSETNX', directory, campaign, '') -- its queue becomes known when the campaign is dialed again
    position = #record.h
    local added = record.h[#record.h]
    if added.t == 'remembered' and number then added.id, added.ai = attempt_id, attempt_id end
  end
end

-- Part 2: its facts.

local attempt = record.h[position]
local function answer(outcome) return { outcome, attempt.id, attempt.tr or '' } end
note_event(entry, attempt.id, is_begin)

local totals_before, f, is_changed = totals_of(attempt), attempt.f, false
local is_first = not (f.r or f.a or f.b or f.c or f.x)
local was_answered, is_noted = f.a, false -- is_noted: something was stored that changes no state
do
  local disposition, cause = ARGV[4], ARGV[11] ~= '' and ARGV[11] or nil
  local function set_fact(name, value)
    if f[name] ~= value then
      f[name], is_changed = value, true
    end
  end
  if call_id ~= '' and not attempt.c then
    attempt.c, is_changed = call_id, true
  elseif call_id ~= '' and not has_call_id(attempt) and #(attempt.cl or {}) < 4 then
    attempt.cl, is_changed = attempt.cl or {}, true
    attempt.cl[#attempt.cl + 1] = call_id
  end
  if fact == 'c' then
    set_fact('c', (stronger(f.c, disposition)))
  elseif fact == 'x' then
    local strongest, its_cause = stronger(f.x, disposition, f.xc, cause)
    set_fact('x', strongest)
    set_fact('xc', its_cause)
  else
    set_fact(fact, 1)
    if fact == 'b' then set_fact('a', 1) end
  end
  if ARGV[7] == '1' then set_fact('m', 1) end

  if fact == 'a' and written_ms < (attempt.am or math.huge) then attempt.am, is_noted = written_ms, true end
  if is_begin and written_ms > (attempt.lm or 0) then
    local was_missing = is_missing(attempt)
    attempt.lm, is_noted = written_ms, true
    is_changed = is_changed or was_missing and not is_missing(attempt) -- the sources had looked before
  end
  if is_ending and not (attempt.ee and is_id_after(entry, attempt.ee)) and attempt.ee ~= entry then
    attempt.ee, is_noted = entry, true
  end
  -- Of several agents, and several durations, the one that sorts last counts, so that their order does not matter.
  local its_agent = fact == 'a' and 'wa' or is_ending and 'we'
  if its_agent and agent > (attempt[its_agent] or '') then attempt[its_agent], is_noted = agent, true end
  local duration_s = tonumber(ARGV[20])
  if duration_s and duration_s > (attempt.du or -1) then attempt.du, is_noted = duration_s, true end
end
local outcomes = { stream = KEYS[31], most = ARGV[21] }
if not is_changed then
  if is_noted then
    report_outcome(outcomes, contact, record, attempt)
    change_totals(totals_before, totals_of(attempt))
    save_record(contact, record)
  end
  return answer('unchanged')
end

-- Part 3: what follows for the contact, the breaker and pacing.

if attempt.v == 'unknown' then -- the reply counted as a failure of the Dialer API, but it has placed the call
  redis.call('HDEL', api, 'fails', 'until', 'reason', 'probed_until')
end

local is_over
do
  local was_ended = attempt.s == 'ended'
  is_over = apply_facts(contact, record, position, totals_before, max_call_ms, outcomes)
  if is_first then api_queue.note(KEYS[30], api, attempt, fact == 'r', written_ms) end
  -- It may have waited in the Dialer API: its ringing time has begun only now.
  if attempt.s == 'ringing' and attempt == record.h[#record.h] then
    set_state(contact, record, 'dialing', attempt.lm + attempt.dd)
  end
  count_call(call_history, newest_calls, contact, record, attempt)
  save_record(contact, record)

  local totals_after = totals_of(attempt)
  local function observe(what)
    if attempt.t == 'remembered' or not sets then return end
    add_observation(sets.observations, sets.learning, what, written_ms, written_ms - attempt.sm, campaign)
  end
  if totals_after.answered_calls and not totals_before.answered_calls then observe(f.m and 'machine' or 'human') end
  if totals_after.abandoned and not totals_before.abandoned then observe('abandoned') end
  if attempt.s == 'ended' and not was_ended and not totals_after.answered_calls and f.x ~= 'cancelled' then
    observe((attempt.d == 'busy' or attempt.d == 'no_answer') and attempt.d or 'failed')
  end
  if is_over and sets then redis.call('ZREM', sets.answer_queue, attempt.id) end
end

-- Part 4: a person who answers takes an agent; without a free agent the person waits in the answer queue. A call that
-- has ended is no reason any more to disbelieve a list.
do
  local holder = attempt.s == 'ended' and redis.call('HGET', agent_calls, attempt.id)
  if holder then
    local its_record = load_agent(holder)
    drop_call(its_record)
    redis.call('HSET', agents, holder, cjson.encode(its_record))
  end
end
if fact == 'a' and not was_answered and attempt.s == 'answered' then
  if taker_record and (not is_guess or not f.m) then
    local is_newest = not taker_record.e or taker_record.t <= written_ms
    if is_newest or is_guess or taker_record.s ~= 'available' then
      give_call(taker, taker_record, attempt.id, is_guess)
      taker_record.t = math.max(taker_record.t, written_ms)
      save_agent(taker, taker_record)
      note_activity(taker, taker_record, written_ms)
    end
  elseif sets and not f.m then
    redis.call('ZREMRANGEBYSCORE', sets.answer_queue, '-inf', format_number(ledger_ms - 60000)) -- they have hung up
    redis.call('ZADD', sets.answer_queue, format_number(ledger_ms), attempt.id)
    redis.call('PEXPIRE', sets.answer_queue, 86400000)
  end
end
write_public_hash()
return answer(is_over and 'ended' or 'applied')
