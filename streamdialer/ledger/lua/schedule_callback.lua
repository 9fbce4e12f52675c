-- Notes that a contact has asked to be called at a certain time. The request written last counts, whatever
-- order requests arrive in. A call that is up goes on, and the callback follows it. A final contact comes
-- back. A contact with a number on the do-not-call list, or who asks for a call to such a number, is never
-- called.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 campaign's pending_dnc, 26 contacts by number
-- ARGV campaign, contact, due (server's ms), agent ('' = any), number ('' = the contact's own), id of the
--   request's entry, grace ms, the number in the form in which numbers are compared, then, when the ledger
--   does not know the contact, what the backend says of it: priority, attempts, JSON, status
-- Returns "applied" · "unchanged" this request or a later one is known · "past" more than a day ago ·
--   "distant" more than a year ahead · "final" the contact must not be called again · "unknown_campaign" ·
--   "unknown_contact" the backend may know it
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression number_index
local DAY_MS = 86400000
local dnc_list, pending_dnc, contacts_by_number = unpack(KEYS, 24, 26)
local contact, at, agent, number, entry, grace_ms =
  ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local record = load_record(contact)
if not record and redis.call('HEXISTS', directory, campaign) == 0 then return 'unknown_campaign' end
if record and record.cb and not is_id_after(entry, record.cb.e) and not is_outdated(record.cb.e) then
  return entry == record.cb.e and record.cb.vain and 'final' or 'unchanged'
end
if at < server_ms - DAY_MS then return 'past' end
if at > server_ms + 366 * DAY_MS then return 'distant' end
local is_new, new_call = not record, nil -- new_call: the JSON of a contact whose numbers are not known here
if redis.call('HEXISTS', contacts, contact) == 0 then
  if record and (record.why or record.dnc) then return 'final' end
  if not ARGV[9] then return 'unknown_contact' end
  local priority, attempts = tonumber(ARGV[9]), tonumber(ARGV[10])
  new_call = ARGV[11]
  if is_new then
    local order = format_number(ready_order(priority, ledger_ms, 0))
    record = { p = 'final', sn = ledger_ms, a = attempts, o = order, pr = priority }
    if ARGV[12] ~= 'pending' then record.rs = ARGV[12] end
  end
  apply_contact_data(contact, record, new_call, dnc_list, pending_dnc, contacts_by_number)
  if record.dnc then enqueue_update(contact, 'do_not_call', nil, nil) end
end

unindex_numbers(contacts_by_number, contact, record)
record.cb, record.z = { e = entry, at = at, gr = at + grace_ms }, nil -- its number may be in another zone
if agent ~= '' then record.cb.ag = agent end
if number ~= '' then record.cb.num, record.cb.nn = number, ARGV[8] end
index_numbers(contacts_by_number, contact, record)
if is_on_dnc_list(dnc_list, record) then suppress(contact, record) end
local is_up = record.p == 'dialing' or record.p == 'connected' or record.p == 'orphaned'
local shown = backend_status(record)
local is_final = record.dnc or record.p == 'final' and (shown == 'invalid' or shown == 'do_not_call')
record.cb.vain = is_final and true or nil
if not is_up and not is_final then
  -- The update first: where it has no place, the contact stays where it is.
  enqueue_update(contact, at > server_ms and 'callback' or 'pending', record.a, nil)
  redis.call('HDEL', totals, 'exhausted') -- the campaign goes on, and ends another time (publish_exhausted.lua)
  if record.p == 'reserved' then unreserve(contact, record) else make_ready(contact, record) end
elseif is_new then
  set_state(contact, record, 'final', math.huge)
end
if new_call then redis.call('HSET', contacts, contact, new_call) end
save_record(contact, record)
write_public_hash()
return is_final and 'final' or 'applied'
