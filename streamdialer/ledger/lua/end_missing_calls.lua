-- Ends calls of a campaign that no event source lists as up (note_source.lua): as completed when they were answered,
-- else as failed. A call that is listed gets another deadline.
-- KEYS 1–23 of the campaign, 24 call history, 25 its newest calls, 26 api, 27 first events, 28 event sources,
--   29 outcomes, then the calls of each source
-- ARGV campaign, id of the newest list's entry, longest possible conversation ms, deadline after sending ms, cutoff
--   (ledger ms: a call that was sent, seen to begin or answered later than that may be missing in a list; so may one
--   without events whose reply came later), whether calls without any call id are ended ('1'), state (dialing |
--   connected | orphaned), how many contacts of it to skip, most contacts to examine, since when all sources have
--   watched (ledger ms), most outcomes kept
-- Returns JSON: `MissingCalls` (`ledger/event_sources.py`); fewer examined than asked for: the state is done · or
--   "not_now" while lost calls are waited for, or when another source has come
-- uses: clock data_loss spellings campaign api_queue outbox phone_rotation retry stream_ids attempts bounded_stream outcome apply_facts evidence suppression call_history
local call_history, newest_calls, api, first_events, sources = unpack(KEYS, 24, 28)
local entry, max_call_ms, deadline_ms, cutoff_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local judges_nameless, state, skip, batch = ARGV[6] == '1', ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local watched_since_ms, outcomes = tonumber(ARGV[10]), { stream = KEYS[29], most = ARGV[11] }
if server_trouble(server, ledger_ms, deadline_ms) or redis.call('HLEN', sources) ~= #KEYS - 29 then return 'not_now' end
note_event(entry, 'source_live', false)

local answer = { examined = 0, stayed = 0, nameless = 0, ended = {}, listed = {} }
local function list(names, name) names[#names + 1] = name end

-- Returns the id under which a source lists the attempt, or nil, and whether the attempt has a call id.
local function listed_name(contact, attempt)
  local names = { attempt.id }
  if attempt.c then list(names, attempt.c) end
  if attempt.rc then list(names, attempt.rc) end
  for _, leg in ipairs(attempt.cl or {}) do list(names, leg) end
  local has_call_id = #names > 1
  if attempt.ai then
    list(names, attempt.ai)
  elseif attempt.t == 'remembered' then
    list(names, campaign .. ':' .. contact .. ':') -- its own id is not known: any of the contact's may be it
  end
  for i = 30, #KEYS do
    for at, is_listed in ipairs(redis.call('SMISMEMBER', KEYS[i], unpack(names))) do
      if is_listed == 1 then return names[at], has_call_id end
    end
  end
  return nil, has_call_id
end

-- Whether the replies of the Dialer API are believed: not those of one that places calls one after the other, or whose
-- replies are mostly unclear.
local replies = redis.call('HMGET', api, 'serial', 'replies', 'unclear')
local are_replies_clear = replies[1] ~= '1' and tonumber(replies[3] or 0) * 2 <= tonumber(replies[2] or 0)

-- Returns until when the Dialer API may yet place a call of which nothing was seen. Calls before it must have been watched
-- for as long as one of them may ring.
local function may_begin_until(attempt)
  local is_placed = attempt.v and attempt.v ~= 'unknown' and are_replies_clear
  if attempt.s ~= 'sent' or is_placed then return 0 end
  local quiet_since_ms = math.max(api_queue.moved_at(first_events, attempt), watched_since_ms)
  return math.min(quiet_since_ms + attempt.dd, attempt.sm + max_call_ms)
end

local examined = redis.call('ZRANGE', states[state], skip, skip + batch - 1, 'WITHSCORES')
answer.examined = #examined / 2
for i = 1, #examined, 2 do
  local contact, due_ms = examined[i], tonumber(examined[i + 1])
  local record = load_record(contact)
  local attempt = record.h[#record.h]
  local name, has_call_id = listed_name(contact, attempt)
  if name then
    list(answer.listed, name)
    if state == 'dialing' and due_ms < ledger_ms + attempt.dd / 2 then
      attempt.dp = nil
      set_state(contact, record, 'dialing', ledger_ms + attempt.dd)
      save_record(contact, record)
    end
  elseif math.max(attempt.sa or attempt.sm, attempt.lm or attempt.vm or 0) >= cutoff_ms then
    name = attempt.id -- too new for some list
  elseif may_begin_until(attempt) > ledger_ms then
    name = attempt.id
    if state == 'dialing' and due_ms < may_begin_until(attempt) then
      attempt.dp = nil
      set_state(contact, record, 'dialing', may_begin_until(attempt))
      save_record(contact, record)
    end
  elseif not has_call_id and not judges_nameless then
    answer.nameless = answer.nameless + 1
    name = attempt.id
  end
  if name then
    answer.stayed = answer.stayed + 1
  else
    local totals_before = totals_of(attempt)
    attempt.f.sl = math.max(attempt.f.sl or 0, cutoff_ms)
    apply_facts(contact, record, #record.h, totals_before, max_call_ms, outcomes)
    count_call(call_history, newest_calls, contact, record, attempt)
    save_record(contact, record)
    list(answer.ended, attempt.id)
  end
end
if #answer.ended > 0 then write_public_hash() end
for _, names in ipairs({ 'ended', 'listed' }) do
  if #answer[names] == 0 then answer[names] = nil end -- cjson would write an empty list as an object
end
return cjson.encode(answer)
