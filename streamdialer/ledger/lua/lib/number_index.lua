-- Which contacts the ledger holds of a number: a hash, number -> `campaign:contact`, several joined by spaces. It names a
-- contact for as long as the contact has a record.

local function index_numbers(numbers, contact, record)
  local holder = campaign .. ':' .. contact
  for _, number in ipairs(numbers_of(record)) do
    local held = redis.call('HGET', numbers, number)
    if not held then
      redis.call('HSET', numbers, number, holder)
    elseif not string.find(' ' .. held .. ' ', ' ' .. holder .. ' ', 1, true) then
      redis.call('HSET', numbers, number, held .. ' ' .. holder)
    end
  end
end

local function forget_numbers(numbers, contact, record)
  local holder = campaign .. ':' .. contact
  for _, number in ipairs(numbers_of(record)) do
    local left = {}
    for one in string.gmatch(redis.call('HGET', numbers, number) or '', '%S+') do
      if one ~= holder then left[#left + 1] = one end
    end
    if #left == 0 then
      redis.call('HDEL', numbers, number)
    else
      redis.call('HSET', numbers, number, table.concat(left, ' '))
    end
  end
end

-- Notes what the backend says of a contact that is new here: its number, and whether it must not be called. Now it is known
-- whose number was meant by a request that named the contact alone. The caller saves the record.
local function know_contact(contact, record, call, listed, requests, numbers)
  local told = cjson.decode(call)
  local asked = redis.call('HGET', requests, contact)
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
    index_numbers(numbers, contact, record)
    if asked then redis.call('HDEL', requests, contact) end
  end
  if told.dnc or asked or is_suppressed(listed, record) then record.dnc = true end
end

-- Takes a contact out of the line for good; a call that is up goes on, and ends as do_not_call. Saves the record.
local function suppress(contact, record)
  if record.dnc then return end
  record.dnc = true
  if record.p == 'reserved' then
    unreserve(contact, record)
  elseif record.p == 'ready' or record.p == 'offered' or record.p == 'waiting' or record.p == 'finished' then
    move(contact, record, 'finished', math.huge)
  end
  save_record(contact, record)
  tell_backend(contact, 'do_not_call', told_attempts(record), nil)
end
