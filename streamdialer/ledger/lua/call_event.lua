-- Adds what one call event says to the facts of the attempt it belongs to. Any order, any repetition, any delay of the
-- events of an attempt ends in the same ledger.
-- KEYS 1–18 of the campaign, 19 queue's free agents, 20 queue's busy agents, 21 api
-- ARGV campaign, contact, fact (r | a | c | x | b), disposition (for c and x), call id, agent, answered by machine ('1'),
--   when it was written (ms), longest conversation ms
-- Returns "applied" · "unchanged" it was known · "ended" applied, and the call is over · "unknown_campaign" ·
--   "unknown_contact" · "no_attempt" nothing was placed that it could speak of · "foreign_call" the call id is of no
--   attempt of this contact
-- uses: campaign outbox attempts
local free_agents, busy_agents = KEYS[19], KEYS[20]
local contact, fact, disposition, call_id, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local by_machine, written_ms, max_call_ms = ARGV[7] == '1', tonumber(ARGV[8]), tonumber(ARGV[9])

if redis.call('HEXISTS', directory, campaign) == 0 then return 'unknown_campaign' end
local record = load_record(contact)
if not record then return 'unknown_contact' end

local history, position = record.h or {}, nil
if call_id ~= '' then
  for i, candidate in ipairs(history) do
    if candidate.c == call_id or candidate.rc == call_id then position = i end
  end
end
if not position then -- the newest attempt that was sent before the event was written
  for i = #history, 1, -1 do
    local sent = history[i].sm
    if sent and sent <= written_ms then
      position = i
      break
    end
  end
  if not position then return 'no_attempt' end
  local known_as = history[position].c
  if call_id ~= '' and known_as and known_as ~= call_id then return 'foreign_call' end
end

local attempt = history[position]
if attempt.s == 'reserved' then return 'no_attempt' end
local seen = redis.call('HMGET', evidence, 'last_ms', 'last_attempt')
if written_ms > tonumber(seen[1] or 0) then
  if seen[2] and seen[2] ~= attempt.id then redis.call('HSET', evidence, 'other_ms', seen[1]) end
  redis.call('HSET', evidence, 'last_ms', digits(written_ms), 'last_attempt', attempt.id)
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
  redis.call('HDEL', KEYS[21], 'fails', 'until', 'reason', 'probed')
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
