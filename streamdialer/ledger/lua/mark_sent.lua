-- Marks a reserved attempt as sent, right before its originate request leaves. Refuses what must no longer be
-- sent.
-- KEYS 1–23 of the campaign, 24 api, 25 do-not-call list, 26 call history, 27 its newest calls, 28 caller ids
-- ARGV campaign, contact, reservation token, run (names this try to send), end of the calling window ms ('' =
--   none), deadline after sending ms, '1' when the same request may be sent twice, which of the campaign's caller ids
--   come first ('' = it takes none of them, '*' = any, else the digits they begin with), the call's `traceparent` (left out
--   when the call is not traced)
-- Returns one of these, or {"ok" or "again", caller id taken}: "ok" send it · "again" another run has marked it, nothing
--   is known of its request, and sending it twice does no harm: send it · "sent" another run has marked it · "stale" the
--   reservation is gone · or, after undoing the reservation: "not_active" · "window_closed" · "api_paused" ·
--   "data_loss" · "server_unknown" · "in_call" · "registry_outdated" · "caller_ids" all have reached their cap · the cap
--   that has been reached meanwhile (`rules/caps.py`) · "do_not_call", the contact is then final
-- uses: clock data_loss spellings campaign outbox phone_rotation retry stream_ids attempts suppression call_history registries caller_ids
local api, dnc_list, call_history, newest_calls = unpack(KEYS, 24, 27)
local contact, token, run, open_until, deadline_ms, is_idempotent =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
local trouble = server_trouble(server, ledger_ms, deadline_ms)
local record = load_record(contact)
local attempt = record and record.h and record.h[#record.h]
if not attempt or attempt.t ~= token then return 'stale' end
local function send(status) return attempt.ci and { status, attempt.ci } or status end
if attempt.s ~= 'reserved' then
  if attempt.b == run then return send('ok') end -- the reply was lost
  local has_no_news = attempt.s == 'sent' and not attempt.v and ledger_ms < attempt.sm + attempt.dd
  if not (is_idempotent and has_no_news and not trouble) or is_suppressed(dnc_list, record) then return 'sent' end
  attempt.b, attempt.sa = run, ledger_ms
  set_state(contact, record, 'dialing', ledger_ms + attempt.dd) -- its telephone may begin to ring only now
  save_record(contact, record)
  return send('again')
end

local function put_back(reason)
  unreserve(contact, record)
  write_public_hash()
  return reason
end
if trouble then return put_back(trouble) end
-- An attempt reserved before a data loss may have been sent: its mark may be among what was lost.
if attempt.rm < tonumber(redis.call('HGET', server, 'lost') or 0) then return put_back('data_loss') end
if is_suppressed(dnc_list, record) then
  record.dnc = true
  enqueue_update(contact, 'do_not_call', record.a, nil)
  return put_back('do_not_call')
end
if not is_active() then return put_back('not_active') end
if open_until ~= '' and server_ms >= tonumber(open_until) then return put_back('window_closed') end
local paused_until = redis.call('HMGET', api, 'until', 'c:' .. campaign)
for i = 1, 2 do
  if tonumber(paused_until[i] or 0) > ledger_ms then return put_back('api_paused') end
end
if other_call(contact, record) then return put_back('in_call') end -- late news: that call was placed after all
local caps = saved_caps()
if outdated_registry(caps) then return put_back('registry_outdated') end
local refusal = cap_refusal(call_history, caps, contact, record)
if refusal then return put_back(refusal.reason) end
if ARGV[8] ~= '' and not caller_ids.take(KEYS[28], attempt, ARGV[8]) then return put_back('caller_ids') end

attempt.s, attempt.b, attempt.sm, attempt.ev, attempt.tr = 'sent', run, ledger_ms, newest_event_id(), ARGV[9]
record.a = attempt.p.a + 1
enqueue_update(contact, 'dialing', record.a, ledger_ms) -- first: where it has no place, nothing is begun
caller_ids.count(KEYS[28], attempt)
change_totals({}, totals_of(attempt))
set_state(contact, record, 'dialing', ledger_ms + attempt.dd)
count_call(call_history, newest_calls, contact, record, attempt)
save_record(contact, record)
write_public_hash()
return send('ok')
