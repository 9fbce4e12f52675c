-- Nobody calls the contact again: it leaves the line at once, and a call that is up ends as do_not_call.
-- KEYS 1–20 of the campaign, 21 the list, 22 requests, of contacts whose number is not known here
-- ARGV campaign, contact, why ('' = its number has been listed)
-- Returns its number, which has been listed, '' when it is not known
-- uses: clock campaign outbox attempts suppression numbers
local listed, requests = KEYS[21], KEYS[22]
local contact, why = ARGV[2], ARGV[3]
local record = load_record(contact)
local number = record and record.n
if why ~= '' then
  local since_and_why = math.floor(wall / 1000) .. ' ' .. why
  if number then
    list_number(listed, number, since_and_why)
  elseif redis.call('HSETNX', requests, contact, since_and_why) == 1 and not record
    and redis.call('HEXISTS', directory, campaign) == 1 then
    tell_backend(contact, 'do_not_call', nil, nil) -- it was forgotten, or comes with a later list
  end
end
if record then
  suppress(contact, record)
  publish()
end
return number or ''
