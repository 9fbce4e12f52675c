-- Marks a reserved attempt as sent, before its request leaves; refuses whatever is no longer to be sent.
-- KEYS 1–20 of the campaign, 21 api, 22 numbers not to be called, 23 recent calls, 24 their newest
-- ARGV campaign, contact, reservation token, run (names this very try), open until ms ('' = no end), deadline after
--   sending ms, may the same key be sent twice ('1'), the call's `traceparent` (left out when it is not traced)
-- Returns "ok" · "again" another run has marked it, nothing is known of its request, and sending it again does no harm ·
--   "sent" another run has marked it · "stale" the reservation is gone · or, after putting the contact back:
--   "not_active" · "window_closed" · "held" · "data_loss" · "server_unknown" · the cap that has been reached
--   meanwhile (`rules/caps.py`) · after finishing it: "do_not_call"
-- uses: clock data_loss campaign outbox phone_rotation retry attempts suppression call_history
local api, listed, recent, newest_calls = unpack(KEYS, 21, 24)
local contact, token, run, open_until, deadline_ms, is_idempotent =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
local trouble = memory_trouble(server, ledger_ms, deadline_ms)
local record = load_record(contact)
local attempt = record and record.h and record.h[#record.h]
if not attempt or attempt.t ~= token then return 'stale' end
if attempt.s ~= 'reserved' then
  if attempt.b == run then return 'ok' end
  local is_unheard = attempt.s == 'sent' and not attempt.v and ledger_ms < attempt.sm + attempt.dd
  if not (is_idempotent and is_unheard and not trouble) or is_suppressed(listed, record) then return 'sent' end
  attempt.b = run
  save_record(contact, record)
  return 'again'
end

local function put_back(reason)
  unreserve(contact, record)
  publish()
  return reason
end
if trouble then return put_back(trouble) end
-- Whoever reserved it before memory was lost may have sent it, and the mark may be what was lost.
if attempt.rm < tonumber(redis.call('HGET', server, 'lost') or 0) then return put_back('data_loss') end
if is_suppressed(listed, record) then
  record.dnc = true
  tell_backend(contact, 'do_not_call', told_attempts(record), nil)
  return put_back('do_not_call')
end
if not is_active() then return put_back('not_active') end
if open_until ~= '' and server_ms >= tonumber(open_until) then return put_back('window_closed') end
local holds = redis.call('HMGET', api, 'until', 'c:' .. campaign)
if tonumber(holds[1] or 0) > ledger_ms or tonumber(holds[2] or 0) > ledger_ms then return put_back('held') end
local capped = over_cap(recent, kept_caps(), contact, record)
if capped then return put_back(capped.reason) end

attempt.s, attempt.b, attempt.sm, attempt.ev, attempt.tr = 'sent', run, ledger_ms, newest_event(), ARGV[8]
record.a = attempt.p.a + 1
change_totals({}, adds(attempt))
move(contact, record, 'dialing', ledger_ms + attempt.dd)
count_call(recent, newest_calls, contact, record, attempt)
save_record(contact, record)
tell_backend(contact, 'dialing', record.a, ledger_ms)
publish()
return 'ok'
