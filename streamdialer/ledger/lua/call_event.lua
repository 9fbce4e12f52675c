-- Adds what one call event says to the facts of the attempt it belongs to. Any order, any repetition, any delay of the
-- events of an attempt ends in the same ledger.
-- KEYS 1–20 of the campaign, 21 queue's free agents, 22 queue's busy agents, 23 api
-- ARGV campaign, contact, fact (r | a | c | x | b), disposition (for c and x), call id, agent, answered by machine ('1'),
--   id of its entry, longest conversation ms, deadline after sending ms
-- Returns "applied" · "unchanged" it was known · "ended" applied, and the call is over · "unknown_campaign" ·
--   "unknown_contact" · "no_attempt" nothing was placed that it could speak of · "foreign_call" the call id is of no
--   attempt of this contact
-- uses: clock campaign outbox attempts
local free_agents, busy_agents = KEYS[21], KEYS[22]
local contact, fact, disposition, call_id, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local by_machine, entry, max_call_ms, deadline_ms = ARGV[7] == '1', ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local written_ms = written_at(entry, now, wall)

-- After memory was lost, an event that belongs to nothing the ledger knows belongs to a call it has forgotten.
local lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
local has_forgotten = lost_ms > 0 and now < lost_ms + max_call_ms

if not has_forgotten and redis.call('HEXISTS', directory, campaign) == 0 then return 'unknown_campaign' end
local record = load_record(contact)
if not record and not has_forgotten then return 'unknown_contact' end
record = record or { a = 0, pr = 5, o = digits(order_of(5, now, 0)) }

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
  if position and has_forgotten and call_id == '' and (fact == 'r' or fact == 'a') then
    local ended = history[position].s == 'ended' and not history[position].f[fact]
    if ended then why_not = 'no_attempt' end -- a call that was over rings again: it is another
  end
  local known_as = position and history[position].c
  if call_id ~= '' and known_as and known_as ~= call_id then why_not = 'foreign_call' end
  if not position then why_not = 'no_attempt' end
end
if why_not then
  if not (has_forgotten and remember_attempt(contact, record, lost_ms, deadline_ms)) then return why_not end
  redis.call('HSETNX', directory, campaign, '') -- its queue will be known when it is dialed again
  position = #record.h
end

local attempt = record.h[position]
local seen = redis.call('HMGET', evidence, 'last', 'attempt')
if not seen[1] or is_after(entry, seen[1]) then
  if seen[2] and seen[2] ~= attempt.id then redis.call('HSET', evidence, 'other', seen[1]) end
  redis.call('HSET', evidence, 'last', entry, 'attempt', attempt.id)
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
if fact == 'c' or fact == 'x' then
  learn(fact, stronger(f[fact], disposition))
else
  learn(fact, 1)
  if fact == 'b' then learn('a', 1) end
end
if by_machine then learn('m', 1) end
if not news then return 'unchanged' end
if attempt.v == 'unknown' then -- its reply was counted as a failure of the API, which has placed the call all the same
  redis.call('HDEL', KEYS[23], 'fails', 'until', 'reason', 'probed')
end

local over = draw_consequences(contact, record, position, before, max_call_ms)
save_record(contact, record)

-- A person who answered takes an agent: the named one, else the one heard of last, until the next list says who it was.
if fact == 'a' and not answered_before and not f.m and attempt.s == 'answered' then
  if agent == '' then agent = (redis.call('ZREVRANGE', free_agents, 0, 0))[1] end
  if agent then
    local heard = tonumber(redis.call('ZSCORE', free_agents, agent) or redis.call('ZSCORE', busy_agents, agent) or 0)
    if heard <= written_ms or ARGV[6] == '' then
      redis.call('ZREM', free_agents, agent)
      redis.call('ZADD', busy_agents, digits(math.max(heard, written_ms)), agent)
    end
  end
end
publish()
return over and 'ended' or 'applied'
