-- Draws the consequences of the reply to an originate request, once per attempt.
-- KEYS 1–20 of the campaign, 21 api, 22 recent calls, 23 their newest
-- ARGV campaign, contact, reservation token, verdict (placed | not_placed | never | unknown), call id, hold
--   ('' | campaign | api | credentials), retry after ms, unclear replies in a row that open the breaker,
--   longest rest ms, longest conversation ms
-- Returns "ok" · "stale" the attempt is another's or forgotten · "settled" a reply was already noted
-- uses: clock campaign outbox phone_rotation retry attempts suppression call_history
local api = KEYS[21]
local contact, token, verdict, call_id, hold = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local retry_after_ms, threshold, max_rest_ms, max_call_ms =
  tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local record = load_record(contact)
local position
for i, candidate in ipairs(record and record.h or {}) do
  if candidate.t == token then position = i end
end
if not position then return 'stale' end
local attempt = record.h[position]
if attempt.v then return 'settled' end

if attempt.s == 'reserved' then -- a request that was answered was sent: its begin mark was lost
  local lost_ms = tonumber(redis.call('HGET', server, 'lost') or ledger_ms)
  remember_attempt(contact, record, attempt.rm < lost_ms and lost_ms or ledger_ms, attempt.dd)
  tell_backend(contact, 'dialing', told_attempts(record), attempt.sm)
end
attempt.v = verdict
if call_id ~= '' then attempt.rc = call_id end
local before = adds(attempt)
if verdict == 'not_placed' then
  attempt.f.z = 1
elseif verdict == 'never' then
  attempt.f.i = 1
end
draw_consequences(contact, record, position, before, max_call_ms)
count_call(KEYS[22], KEYS[23], contact, record, attempt)
save_record(contact, record)

-- The breaker, shared by all replicas: a rest grows with every failure in a row and ends with one good reply.
-- An unclear reply to a call that events speak of is no failure: the API has placed it.
local f = attempt.f
local is_well = verdict == 'placed' or verdict == 'never' or f.r or f.a or f.c or f.x
if is_well then
  redis.call('HDEL', api, 'fails', 'until', 'reason', 'probed')
elseif hold == 'campaign' then
  redis.call('HSET', api, 'c:' .. campaign, digits(ledger_ms + retry_after_ms))
else
  local fails = redis.call('HINCRBY', api, 'fails', 1)
  local resting = tonumber(redis.call('HGET', api, 'until') or 0) > ledger_ms
  if resting then redis.call('HINCRBY', api, 'fails', -1) end -- one outage is one failure, however many were open
  local rest_ms
  if hold ~= '' then
    rest_ms = math.max(retry_after_ms, math.min(max_rest_ms, 500 * 2 ^ math.min(fails, 20)))
    if hold == 'credentials' then rest_ms = max_rest_ms end
  elseif fails >= threshold then
    rest_ms = math.min(max_rest_ms, 500 * 2 ^ math.min(fails - threshold + 1, 20))
  end
  if rest_ms and not resting then
    local reason = hold == 'credentials' and 'dialer_api_credentials' or 'dialer_api_down'
    redis.call('HSET', api, 'until', digits(ledger_ms + rest_ms), 'reason', reason)
    redis.call('HDEL', api, 'probed')
  end
end
publish()
return 'ok'
