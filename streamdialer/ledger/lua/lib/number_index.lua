-- Which contacts the ledger holds of a number: a sorted set of `number campaign:contact`, all with one score,
-- so that the contacts of a number stand together. It names a contact as long as the contact has a record.

local index_numbers, unindex_numbers
do
  local function index_entry(number, contact) return number .. ' ' .. campaign .. ':' .. contact end

  function index_numbers(contacts_by_number, contact, record)
    for _, number in ipairs(record.e or {}) do note_calling_code(server, number) end
    if record.cb and record.cb.nn then note_calling_code(server, record.cb.nn) end
    for _, number in ipairs(numbers_of(record)) do
      redis.call('ZADD', contacts_by_number, 0, index_entry(number, contact))
    end
  end

  function unindex_numbers(contacts_by_number, contact, record)
    for _, number in ipairs(numbers_of(record)) do
      redis.call('ZREM', contacts_by_number, index_entry(number, contact))
    end
  end
end

-- Takes over the contact's JSON into a record that has no numbers yet: its numbers, and whether it must not
-- be called. When a do-not-call request for the contact is pending, its numbers, now known, go onto the
-- do-not-call list. The caller saves the record.
local function apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
  local data = cjson.decode(call)
  local since_and_why = redis.call('HGET', pending_dnc, contact)
  record.cs, record.su = data.consent_ms, data.subject
  if data.n then
    record.e = data.n
    for i, number in ipairs(data.phones or { data.phone_number }) do
      local spelled = string.gsub(number, '%D', '')
      if spelled ~= without_plus(data.n[i]) then
        record.ns = record.ns or {}
        record.ns[#record.ns + 1] = spelled
      end
      if since_and_why then add_to_dnc_list(server, dnc_list, data.n[i], since_and_why) end
    end
    index_numbers(contacts_by_number, contact, record)
    if since_and_why then redis.call('HDEL', pending_dnc, contact) end
  end
  if data.dnc or since_and_why or is_suppressed(dnc_list, record) then record.dnc = true end
end

-- Takes a contact out of dialing permanently. A call that is up goes on and ends as do_not_call. Saves the
-- record.
local function suppress(contact, record)
  if record.dnc then return end
  enqueue_update(contact, 'do_not_call', record.a, nil) -- first: where it has no place, nothing is changed
  record.dnc = true
  if record.p == 'reserved' then
    unreserve(contact, record)
  elseif record.p == 'ready' or record.p == 'previewing' or record.p == 'deferred' or record.p == 'final' then
    set_state(contact, record, 'final', math.huge)
  end
  save_record(contact, record)
end
