-- Adds what one call event says to the facts of the attempt it belongs to. Any order, any repetition, any delay of the
-- events of an attempt ends in the same ledger.
-- KEYS 1–20 of the campaign, 21 queue's free agents, 22 queue's busy agents, 23 api, 24 queue's work, 25 queue's waiting
--   people, 26 what its pacing has not learnt from yet, 27 what it has learnt, 28 recent calls, 29 their newest
-- ARGV campaign, contact, fact (r | a | c | x | b), disposition (for c and x), call id, agent, answered by machine ('1'),
--   id of its entry, longest conversation ms, deadline after sending ms, cause (for x; '' = not known)
-- Returns {outcome, id of the attempt it belongs to ('' = none), its trace ('' = none)}; outcome: "applied" · "unchanged" it
--   was known · "ended" applied, and the call is over · "unknown_campaign" · "unknown_contact" · "no_attempt" nothing was
--   placed that it could speak of · "foreign_call" the call id is of no attempt of this contact
-- uses: clock data_loss campaign outbox phone_rotation retry attempts observations agent_activity suppression call_history
local free_agents, busy_agents, agent_activity, waiting_people, observations, learning = KEYS[21], KEYS[22], unpack(KEYS, 24, 27)
local contact, fact, disposition, call_id, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local by_machine, entry, max_call_ms, deadline_ms = ARGV[7] == '1', ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local cause = ARGV[11] ~= '' and ARGV[11] or nil
local written_ms = written_at(entry, ledger_ms, server_ms)

-- After memory was lost, an event that belongs to nothing the ledger knows belongs to a call it has forgotten, unless a
-- later call of the contact is known. Asked only when an event belongs to nothing.
local lost_ms = 0
local function may_be_forgotten(record)
  memory_trouble(server, ledger_ms, deadline_ms) -- perhaps nobody has noticed the loss yet
  lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
  if lost_ms == 0 or ledger_ms >= lost_ms + max_call_ms then return false end
  local last = record and record.h and record.h[#record.h]
  return not (last and last.sm and last.sm >= lost_ms and last.t ~= 'remembered')
end

local record, is_ending = load_record(contact), fact == 'c' or fact == 'x' or fact == 'b'
if not record then
  local is_known = redis.call('HEXISTS', directory, campaign) == 1
  local unknown = is_known and 'unknown_contact' or 'unknown_campaign'
  if not may_be_forgotten(nil) then return { unknown, '' } end
  local mark = redis.call('HGET', server, 'rebuild_epoch') or ''
  local is_rebuilt = mark == '' or redis.call('HGET', totals, 'rebuilt') == mark
  if is_ending and is_rebuilt then return { unknown, '' } end -- old news of a contact that was forgotten long ago
  record = { a = 0, pr = 5, o = digits(order_of(5, ledger_ms, 0)), q = is_ending and 3 or 1 }
end

local history, position, why_not = record.h or {}, nil, nil
if call_id ~= '' then
  for i, candidate in ipairs(history) do
    if candidate.c == call_id or candidate.rc == call_id then position = i end
  end
end
if not position then -- the newest attempt that was sent before the event was written
  for i = #history, 1, -1 do
    if history[i].ev and is_after(entry, history[i].ev) then
      position = i
      break
    end
  end
  local found = position and history[position]
  if found and call_id == '' and not is_ending and found.s == 'ended' and not found.f[fact]
    and found.t ~= 'remembered' and may_be_forgotten(record) and found.sm < lost_ms then
    why_not = 'no_attempt' -- a call that was over rings again: it is another
  end
  local known_as = position and history[position].c
  if call_id ~= '' and known_as and known_as ~= call_id then why_not = 'foreign_call' end
  if not position then why_not = 'no_attempt' end
end
if why_not then
  local is_remembered = may_be_forgotten(record) and remember_attempt(contact, record, lost_ms, deadline_ms)
  if not is_remembered then return { why_not, '' } end
  redis.call('HSETNX', directory, campaign, '') -- its queue will be known when it is dialed again
  position = #record.h
end

local attempt = record.h[position]
local function answer(outcome) return { outcome, attempt.id, attempt.tr or '' } end
local known = redis.call('HMGET', event_watermark, 'last', 'attempt')
if not known[1] or is_after(entry, known[1]) then
  if known[2] and known[2] ~= attempt.id then redis.call('HSET', event_watermark, 'other', known[1]) end
  redis.call('HSET', event_watermark, 'last', entry, 'attempt', attempt.id)
end

local before, f, news = adds(attempt), attempt.f, false
local function learn(name, value)
  if f[name] ~= value then
    f[name], news = value, true
  end
end
if call_id ~= '' and not attempt.c then
  attempt.c, news = call_id, true
end
local answered_before = f.a
if fact == 'c' then
  learn('c', (stronger(f.c, disposition)))
elseif fact == 'x' then
  local stands, why = stronger(f.x, disposition, f.xc, cause)
  learn('x', stands)
  learn('xc', why)
else
  learn(fact, 1)
  if fact == 'b' then learn('a', 1) end
end
if by_machine then learn('m', 1) end
if fact == 'a' and written_ms < (attempt.am or math.huge) then
  attempt.am = written_ms
  if not news then save_record(contact, record) end -- nothing follows from it
end
if not news then return answer('unchanged') end
if attempt.v == 'unknown' then -- its reply was counted as a failure of the API, which has placed the call all the same
  redis.call('HDEL', KEYS[23], 'fails', 'until', 'reason', 'probed')
end

local was_over = attempt.s == 'ended'
local over = draw_consequences(contact, record, position, before, max_call_ms)
count_call(KEYS[28], KEYS[29], contact, record, attempt)
save_record(contact, record)

local after = adds(attempt)
local function tell_pacing(what)
  if attempt.t ~= 'remembered' then saw(observations, learning, what, written_ms, written_ms - attempt.sm, campaign) end
end
if after.answered_calls and not before.answered_calls then tell_pacing(f.m and 'machine' or 'human') end
if after.abandoned and not before.abandoned then tell_pacing('abandoned') end
if attempt.s == 'ended' and not was_over and not after.answered_calls then
  tell_pacing((attempt.d == 'busy' or attempt.d == 'no_answer') and attempt.d or 'failed')
end
if over then redis.call('ZREM', waiting_people, attempt.id) end

-- A person who answered takes an agent: the named one, else the one heard of last, until the next list says who it was.
if fact == 'a' and not answered_before and not f.m and attempt.s == 'answered' then
  if agent == '' then agent = (redis.call('ZREVRANGE', free_agents, 0, 0))[1] end
  if agent then
    local heard = tonumber(redis.call('ZSCORE', free_agents, agent) or redis.call('ZSCORE', busy_agents, agent) or 0)
    if heard <= written_ms or ARGV[6] == '' then
      redis.call('ZREM', free_agents, agent)
      redis.call('ZADD', busy_agents, digits(math.max(heard, written_ms)), agent)
      redis.call('PEXPIRE', busy_agents, 86400000) -- a queue nobody dials any more
      note_work(agent_activity, agent, 'busy', written_ms, observations, learning)
    end
  else
    redis.call('ZREMRANGEBYSCORE', waiting_people, '-inf', digits(ledger_ms - 60000)) -- they no longer wait, whatever was heard
    redis.call('ZADD', waiting_people, digits(ledger_ms), attempt.id)
    redis.call('PEXPIRE', waiting_people, 86400000)
  end
end
publish()
return answer(over and 'ended' or 'applied')
