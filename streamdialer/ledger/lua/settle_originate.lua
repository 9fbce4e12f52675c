-- Applies the reply to an originate request to its attempt, once per attempt, and to the breaker of who
-- places calls.
-- KEYS 1–23 of the campaign, 24 api, 25 call history, 26 its newest calls, 27 outcomes, 28 caller ids
-- ARGV campaign, contact, reservation token, verdict (placed | not_placed | never | unknown), call id, hold
--   ('' | campaign | api | credentials: who must wait), retry after ms, unclear replies in a row that open
--   the breaker, longest pause ms, longest possible conversation ms, who places calls (dialer_api | asterisk),
--   what it said, most outcomes kept
-- Returns "ok" · "stale" the attempt is not known (any more) · "settled" a reply was applied before
-- uses: clock spellings campaign api_queue outbox phone_rotation retry stream_ids attempts bounded_stream outcome apply_facts evidence suppression call_history caller_ids
local api, call_history, newest_calls = unpack(KEYS, 24, 26)
local contact, token, verdict, call_id, hold = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local retry_after_ms, threshold, max_pause_ms, max_call_ms =
  tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local service, detail = ARGV[11], ARGV[12]
local outcomes = { stream = KEYS[27], most = ARGV[13] }

local record = load_record(contact)
local position
for i, candidate in ipairs(record and record.h or {}) do
  if candidate.t == token then position = i end
end
if not position then return 'stale' end
local attempt = record.h[position]
if attempt.v then return 'settled' end

if attempt.s == 'reserved' then -- a request with a reply was sent: the mark that it was sent has been lost
  local lost_ms = tonumber(redis.call('HGET', server, 'lost') or ledger_ms)
  local sent_ms = attempt.rm < lost_ms and lost_ms or ledger_ms
  enqueue_update(contact, 'dialing', attempt.p.a + 1, sent_ms) -- first: where it has no place, nothing is counted
  remember_attempt(contact, record, sent_ms, attempt.dd)
end
attempt.v = verdict
if attempt.s == 'sent' then attempt.vm = ledger_ms end
if call_id ~= '' then attempt.rc = call_id end
local totals_before = totals_of(attempt)
if verdict == 'not_placed' then
  attempt.f.z = 1
elseif verdict == 'never' then
  attempt.f.i = 1
end
apply_facts(contact, record, position, totals_before, max_call_ms, outcomes)
if attempt.s == 'released' then caller_ids.give_back(KEYS[28], attempt) end
count_call(call_history, newest_calls, contact, record, attempt)
save_record(contact, record)

api_queue.count(api, 'replies', 'unclear', verdict == 'unknown')

local function shortest_pause_ms(failures) return math.min(max_pause_ms, 500 * 2 ^ math.min(failures, 20)) end

-- The breaker, shared by all replicas: its pause grows with every failure in a row and ends with one good
-- reply. An unclear reply to a call that has events is no failure: the Dialer API has placed the call.
local f = attempt.f
local is_well = verdict == 'placed' or verdict == 'never' or f.r or f.a or f.c or f.x
if is_well then
  redis.call('HDEL', api, 'fails', 'until', 'reason', 'detail', 'probed_until')
elseif hold == 'campaign' then
  local pause_ms = math.max(retry_after_ms, shortest_pause_ms(1))
  redis.call('HSET', api, 'c:' .. campaign, format_number(ledger_ms + pause_ms))
else
  local fails = redis.call('HINCRBY', api, 'fails', 1)
  local is_paused = tonumber(redis.call('HGET', api, 'until') or 0) > ledger_ms
  -- One outage is one failure, however many requests were open.
  if is_paused then redis.call('HINCRBY', api, 'fails', -1) end
  local pause_ms
  if hold ~= '' then
    pause_ms = math.max(retry_after_ms, shortest_pause_ms(fails))
    if hold == 'credentials' then pause_ms = max_pause_ms end
  elseif fails >= threshold then
    pause_ms = shortest_pause_ms(fails - threshold + 1)
  end
  if pause_ms and not is_paused then
    local reason = service .. (hold == 'credentials' and '_credentials' or '_down')
    redis.call('HSET', api, 'until', format_number(ledger_ms + pause_ms), 'reason', reason, 'detail', detail)
    redis.call('HDEL', api, 'probed_until')
  end
end
write_public_hash()
return 'ok'
