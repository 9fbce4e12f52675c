-- Marks a reserved attempt as sent, before its request leaves; refuses whatever is no longer to be sent.
-- KEYS 1–18 of the campaign, 19 api
-- ARGV campaign, contact, reservation token, run (names this very try), open until ms ('' = no end)
-- Returns "ok" · "sent" another run has marked it · "stale" the reservation is gone · or, after putting the contact
--   back: "not_active" · "window_closed" · "held"
-- uses: campaign outbox attempts
local api = KEYS[19]
local contact, token, run, open_until = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local record = load_record(contact)
local attempt = record and record.h and record.h[#record.h]
if not attempt or attempt.t ~= token then return 'stale' end
if attempt.s ~= 'reserved' then return attempt.b == run and 'ok' or 'sent' end

local function put_back(reason)
  unreserve(contact, record)
  publish()
  return reason
end
if not is_active() then return put_back('not_active') end
if open_until ~= '' and now >= tonumber(open_until) then return put_back('window_closed') end
local holds = redis.call('HMGET', api, 'until', 'c:' .. campaign)
if tonumber(holds[1] or 0) > now or tonumber(holds[2] or 0) > now then return put_back('held') end

attempt.s, attempt.b, attempt.sm = 'sent', run, now
change_totals({}, adds(attempt))
move(contact, record, 'unanswered', now + attempt.dd)
save_record(contact, record)
tell_backend(contact, 'dialing', attempt.n, now)
publish()
return 'ok'
