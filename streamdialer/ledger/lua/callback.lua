-- Notes that a contact asked to be called at an instant. The request written last counts, whatever order they come in. A call
-- that is up goes on, and the callback follows its end; a contact that was finished comes back.
-- KEYS 1–20 of the campaign
-- ARGV campaign, contact, at (server's ms), agent ('' = any), number ('' = the contact's own), id of its entry, grace ms,
--   the number as it is compared
-- Returns "applied" · "unchanged" this request or a later one is known · "past" more than a day ago · "distant" more than a
--   year ahead · "final" the contact is not to be called any more · "unknown_campaign" · "unknown_contact"
-- uses: clock campaign outbox numbers retry attempts
local DAY_MS = 86400000
local contact, at, agent, number, entry, grace_ms =
  ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local record = load_record(contact)
if not record then
  return redis.call('HEXISTS', directory, campaign) == 1 and 'unknown_contact' or 'unknown_campaign'
end
if record.cb and not is_after(entry, record.cb.e) then
  return entry == record.cb.e and record.cb.vain and 'final' or 'unchanged'
end
if at < wall - DAY_MS then return 'past' end
if at > wall + 366 * DAY_MS then return 'distant' end
if redis.call('HEXISTS', contacts, contact) == 0 then return (record.why or record.dnc) and 'final' or 'unknown_contact' end

record.cb, record.z = { e = entry, at = at, gr = at + grace_ms }, nil -- its number may be in another zone
if agent ~= '' then record.cb.ag = agent end
if number ~= '' then record.cb.num, record.cb.nn = number, ARGV[8] end
local is_up = record.p == 'unanswered' or record.p == 'connected' or record.p == 'in_doubt'
local is_final = record.p == 'finished' and FINAL[status_of(record)]
record.cb.vain = is_final or nil
if record.p == 'reserved' then
  unreserve(contact, record)
elseif not is_up and not is_final then
  redis.call('HDEL', totals, 'exhausted') -- its end will be another one (announce_end.lua)
  to_ready(contact, record)
end
save_record(contact, record)
if is_final then return 'final' end
if not is_up then tell_backend(contact, status_of(record), told_attempts(record), nil) end
publish()
return 'applied'
