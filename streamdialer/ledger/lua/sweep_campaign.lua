-- Does everything that has become due in one campaign, at most `batch` contacts of each kind: reservations
-- and preview offers end, deadlines end calls, deferred contacts become ready, final contacts and old call
-- history are removed.
-- KEYS 1–23 of the campaign, 24 contacts by number, 25 previews, 26 call history, 27 its newest calls, 28 campaign's
--   refused, 29 api, 30 first events, 31 outcomes
-- ARGV campaign, batch, events required ('1'), longest possible conversation ms, deadline after sending ms,
--   max_age_ms (reserve_contacts.lua), the consumer group of events, most outcomes
--   kept
-- Returns JSON: `SweepResult` (`ledger/types.py`)
-- uses: clock data_loss spellings campaign api_queue rebuilding outbox phone_rotation retry stream_ids attempts bounded_stream outcome apply_facts suppression number_index ids preview call_history
local contacts_by_number, previews, call_history, newest_calls, refused, api, first_events = unpack(KEYS, 24, 30)
local batch, events_required, max_call_ms, deadline_ms =
  tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local group, outcomes = ARGV[7], { stream = KEYS[31], most = ARGV[8] }
local answer = {
  released = 0, offers_expired = 0, no_event = 0, too_long = 0, orphaned = 0, promoted = 0, forgotten = 0, stalled = 0, only_ends = 0,
}
local has_trouble = server_trouble(server, ledger_ms, deadline_ms) ~= nil
local lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
local is_serial = redis.call('HGET', api, 'serial') == '1'

-- Calls `handle(contact, record, due_ms)` for the contacts of a state that are due, the longest overdue
-- first.
local function for_each_due(state, handle)
  local due = redis.call('ZRANGEBYSCORE', states[state], '-inf', ledger_ms, 'WITHSCORES', 'LIMIT', 0, batch)
  for i = 1, #due, 2 do
    local contact, record = due[i], load_record(due[i])
    if is_in_state(state, contact, record) then handle(contact, record, tonumber(due[i + 1])) end
  end
end
local function tally(name) answer[name] = answer[name] + 1 end

for_each_due('reserved', function(contact, record)
  unreserve(contact, record)
  tally('released')
end)

for_each_due('previewing', function(contact, record)
  end_offer(contact, record, 'no_answer')
  record.of = nil
  make_ready(contact, record)
  save_record(contact, record)
  tally('offers_expired')
end)
notify_ended_offers(previews)

-- Returns the id of the oldest unread event that may be about a call, or nil. Unread are those that a consumer has and
-- those that none has read yet; entries that are acknowledged and stay for other groups are read. Callback requests are
-- not about calls, and may wait as long as the backend is away. If only those are among the entries examined, the newest
-- of these counts. Entries are read one by one: some may be large.
local MAX_UNREAD, MAX_UNREAD_BYTES, oldest_unread = 500, 1000000, nil
local function oldest_unread_event()
  if oldest_unread ~= nil then return oldest_unread end
  oldest_unread = false
  local examined, bytes = 0, 0
  local function may_be_about_a_call(entry)
    local is_callback = false
    examined = examined + 1
    for i = 1, #entry[2], 2 do
      bytes = bytes + #entry[2][i] + #entry[2][i + 1]
      is_callback = is_callback or entry[2][i] == 'type' and entry[2][i + 1] == 'callback_requested'
    end
    return not is_callback or examined >= MAX_UNREAD or bytes > MAX_UNREAD_BYTES
  end
  local pending = redis.pcall('XPENDING', events, group, '-', '+', MAX_UNREAD) -- an error where there is no group
  for _, row in ipairs(pending) do
    local entry = redis.call('XRANGE', events, row[1], row[1])[1]
    if entry and may_be_about_a_call(entry) then
      oldest_unread = entry[1]
      return oldest_unread
    end
  end
  local after, groups = '0-0', redis.pcall('XINFO', 'GROUPS', events) -- an error where there is no stream
  for _, fields in ipairs(groups) do
    local its = {}
    for i = 1, #fields, 2 do its[fields[i]] = fields[i + 1] end
    if its.name == group then after = its['last-delivered-id'] end
  end
  while true do
    local entry = redis.call('XRANGE', events, '(' .. after, '+', 'COUNT', 1)[1]
    if not entry then return oldest_unread end
    if may_be_about_a_call(entry) then
      oldest_unread = entry[1]
      return oldest_unread
    end
    after = entry[1]
  end
end

-- Whether an attempt may be ended by its deadline: other calls are seen to begin (after the longest possible
-- conversation, events of any kind are enough), and no event that was written before the deadline passed is still unread.
local function silence_is_conclusive(contact, record, attempt)
  if not events_required then return true end
  local is_ringing_over = record.p == 'dialing' and ledger_ms < attempt.sm + max_call_ms
  if is_ringing_over and not other_calls_begun(attempt) then
    if other_calls_reported(attempt) then tally('only_ends') end
    return false
  end
  if not other_calls_reported(attempt) then return false end
  -- A serial Dialer API may take minutes to get to it: only events of a moment ago say that events still come.
  if is_ringing_over and is_serial and not other_calls_reported(attempt, ledger_ms - attempt.dd) then return false end
  if not attempt.dp or is_outdated(attempt.dp) then
    attempt.dp = newest_event_id()
    save_record(contact, record)
  end
  local oldest = oldest_unread_event()
  return not oldest or is_id_after(oldest, attempt.dp)
end

local waits_for_events = false
local function end_by_deadline(state, deadline_fact, counter)
  for_each_due(state, function(contact, record)
    local attempt, fact, name = record.h[#record.h], deadline_fact, counter
    if state == 'dialing' and attempt.sm < lost_ms then fact, name = 'u', 'orphaned' end -- its events may be lost
    local moved_ms = attempt.s == 'sent' and api_queue.moved_at(first_events, attempt) or attempt.lm or attempt.sm
    if fact == 'dl' and state == 'dialing' and moved_ms + attempt.dd > ledger_ms and ledger_ms < attempt.sm + max_call_ms then
      attempt.dp = nil -- calls before it began a moment ago: it may yet begin
      set_state(contact, record, 'dialing', moved_ms + attempt.dd)
      save_record(contact, record)
      return
    end
    if fact ~= 'u' and not silence_is_conclusive(contact, record, attempt) then
      waits_for_events = true
      if state == 'dialing' then tally('stalled') end -- only these stop the campaign (lib/campaign_gate.lua)
      return
    end
    local totals_before = totals_of(attempt)
    attempt.f[fact] = 1
    apply_facts(contact, record, #record.h, totals_before, max_call_ms, outcomes)
    count_call(call_history, newest_calls, contact, record, attempt)
    save_record(contact, record)
    tally(name)
    answer.attempts = answer.attempts or {}
    answer.attempts[#answer.attempts + 1] = attempt.id
  end)
end
if not has_trouble then -- after a data loss, events that were lost may come once more: nothing is concluded meanwhile
  end_by_deadline('dialing', 'dl', 'no_event')
  end_by_deadline('connected', 'mx', 'too_long')
  -- else the backend's list would change while it is read
  if not is_being_rebuilt() then end_by_deadline('orphaned', 'dl', 'no_event') end
end

-- Until the campaign is rebuilt, the backend may know a reason not to call the deferred contacts again.
local epoch = redis.call('HGET', server, 'rebuild_epoch') or ''
local is_rebuilt = not has_trouble and (epoch == '' or redis.call('HGET', totals, 'rebuilt') == epoch)
if is_rebuilt then
  for_each_due('deferred', function(contact, record, due_ms)
    local keeps_order = is_deferred_by_rule(record) -- and the backend still shows it as pending
    if not keeps_order then record.o = format_number(ready_order(record.pr, due_ms, 0)) end
    if keeps_order then
      make_ready(contact, record)
    else -- the backend may have finished the contact since: it is called when this update has been taken (ack_update.lua)
      make_ready_and_report(contact, record, nil)
    end
    save_record(contact, record)
    tally('promoted')
  end)
end

for_each_due('final', function(contact, record)
  if redis.call('HEXISTS', outbox, contact) == 1 then
    redis.call('ZADD', final, 'inf', contact) -- else it could be loaded and called before the backend knows its end
  else
    -- The backend goes on listing a contact whose end it refused; one that was never to be called may be corrected.
    if record.rf and not record.why then redis.call('HSET', refused, contact, record.rw or '') end
    unindex_numbers(contacts_by_number, contact, record)
    redis.call('ZREM', final, contact)
    forget_contact(contact, record)
    redis.call('HINCRBY', totals, 'forgotten', 1)
    tally('forgotten')
  end
end)

expire_calls(call_history, newest_calls, batch)
forget_persons_called_before(ledger_ms - tonumber(ARGV[6]))

-- The next sweep is at the earliest deadline left, or in a second where something could not be done.
local next_ms = math.huge
for _, set in ipairs({ reserved, previewing, dialing, connected, orphaned, deferred, final }) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if first and first ~= 'inf' then next_ms = math.min(next_ms, tonumber(first)) end
end
if waits_for_events or not is_rebuilt then next_ms = math.max(next_ms, ledger_ms + 1000) end
if next_ms == math.huge then
  redis.call('ZREM', sweep_schedule, campaign)
else
  redis.call('ZADD', sweep_schedule, format_number(next_ms), campaign)
end
write_public_hash()
answer.wake = answer.released + answer.no_event + answer.too_long + answer.orphaned + answer.promoted > 0
return cjson.encode(answer)
