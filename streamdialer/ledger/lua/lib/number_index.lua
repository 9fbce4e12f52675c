-- Which contacts the ledger holds of a number: a zset of `number campaign:contact`, all of one score, so that those of a
-- number stand together however many they are. It names a contact for as long as the contact has a record.

local function holding(number, contact) return number .. ' ' .. campaign .. ':' .. contact end

local function index_numbers(contacts_by_number, contact, record)
  for _, number in ipairs(numbers_of(record)) do redis.call('ZADD', contacts_by_number, 0, holding(number, contact)) end
end

local function forget_numbers(contacts_by_number, contact, record)
  for _, number in ipairs(numbers_of(record)) do redis.call('ZREM', contacts_by_number, holding(number, contact)) end
end

-- Notes what the backend says of a contact that is new here: its number, and whether it must not be called. Now it is known
-- whose number was meant by a request that named the contact alone. The caller saves the record.
local function know_contact(contact, record, call, listed, pending_dnc, contacts_by_number)
  local told = cjson.decode(call)
  local asked = redis.call('HGET', pending_dnc, contact)
  if told.n then
    record.e = told.n
    for i, number in ipairs(told.phones or { told.phone_number }) do
      local spelled = string.gsub(number, '%D', '')
      if spelled ~= bare(told.n[i]) then
        record.ns = record.ns or {}
        record.ns[#record.ns + 1] = spelled
      end
      if asked then list_number(listed, told.n[i], asked) end
    end
    index_numbers(contacts_by_number, contact, record)
    if asked then redis.call('HDEL', pending_dnc, contact) end
  end
  if told.dnc or asked or is_suppressed(listed, record) then record.dnc = true end
end

-- Takes a contact out of the line for good; a call that is up goes on, and ends as do_not_call. Saves the record.
local function suppress(contact, record)
  if record.dnc then return end
  record.dnc = true
  if record.p == 'reserved' then
    unreserve(contact, record)
  elseif record.p == 'ready' or record.p == 'previewing' or record.p == 'deferred' or record.p == 'final' then
    move(contact, record, 'final', math.huge)
  end
  save_record(contact, record)
  tell_backend(contact, 'do_not_call', told_attempts(record), nil)
end
