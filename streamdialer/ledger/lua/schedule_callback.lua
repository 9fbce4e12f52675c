-- Notes that a contact asked to be called at an instant. The request written last counts, whatever order they come in. A call
-- that is up goes on, and the callback follows its end; a contact that was finished comes back. Whoever is listed, or asks
-- to be called at a number that is, is called at none.
-- KEYS 1–20 of the campaign, 21 numbers not to be called, 22 requests, of contacts whose number was not known here,
--   23 contacts by number
-- ARGV campaign, contact, at (server's ms), agent ('' = any), number ('' = the contact's own), id of its entry, grace ms,
--   the number as it is compared, then what the backend says of the contact, where the ledger did not know it: priority,
--   attempts, JSON
-- Returns "applied" · "unchanged" this request or a later one is known · "past" more than a day ago · "distant" more than a
--   year ahead · "final" the contact is not to be called any more · "unknown_campaign" · "unknown_contact" the backend may
--   know it
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index
local DAY_MS = 86400000
local listed, pending_dnc, contacts_by_number = unpack(KEYS, 21, 23)
local contact, at, agent, number, entry, grace_ms =
  ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local record = load_record(contact)
if not record and redis.call('HEXISTS', directory, campaign) == 0 then return 'unknown_campaign' end
if record and record.cb and not is_after(entry, record.cb.e) then
  return entry == record.cb.e and record.cb.vain and 'final' or 'unchanged'
end
if at < server_ms - DAY_MS then return 'past' end
if at > server_ms + 366 * DAY_MS then return 'distant' end
if redis.call('HEXISTS', contacts, contact) == 0 then
  if record and (record.why or record.dnc) then return 'final' end
  if not ARGV[9] then return 'unknown_contact' end
  if not record then
    local priority = tonumber(ARGV[9])
    record = { sn = ledger_ms, a = tonumber(ARGV[10]), o = digits(order_of(priority, ledger_ms, 0)), pr = priority }
    move(contact, record, 'final', math.huge)
  end
  local spent = tonumber(redis.call('HGET', totals, 'n:' .. contact) or 0)
  record.n = math.max(record.n or 0, spent, tonumber(ARGV[10]))
  redis.call('HSET', contacts, contact, ARGV[11])
  know_contact(contact, record, ARGV[11], listed, pending_dnc, contacts_by_number)
  if record.dnc then tell_backend(contact, 'do_not_call', nil, nil) end
end

forget_numbers(contacts_by_number, contact, record)
record.cb, record.z = { e = entry, at = at, gr = at + grace_ms }, nil -- its number may be in another zone
if agent ~= '' then record.cb.ag = agent end
if number ~= '' then record.cb.num, record.cb.nn = number, ARGV[8] end
index_numbers(contacts_by_number, contact, record)
if is_listed(listed, record) then suppress(contact, record) end
local is_up = record.p == 'dialing' or record.p == 'connected' or record.p == 'orphaned'
local is_final = record.dnc or record.p == 'final' and FINAL[status_of(record)]
record.cb.vain = is_final and true or nil
if record.p == 'reserved' then
  unreserve(contact, record)
elseif not is_up and not is_final then
  redis.call('HDEL', totals, 'exhausted') -- its end will be another one (publish_exhausted.lua)
  to_ready(contact, record)
end
save_record(contact, record)
if not is_up and not is_final then tell_backend(contact, status_of(record), told_attempts(record), nil) end
publish()
return is_final and 'final' or 'applied'
