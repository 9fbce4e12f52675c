-- Nobody calls the contact again: it leaves the line at once, and a call that is up ends as do_not_call.
-- KEYS 1–20 of the campaign, 21 the list, 22 requests, of contacts whose number is not known here
-- ARGV campaign, contact, why
-- Returns its numbers, which have been listed, joined by spaces; '' when they are not known
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index
local listed, pending_dnc = KEYS[21], KEYS[22]
local contact, since_and_why = ARGV[2], math.floor(server_ms / 1000) .. ' ' .. ARGV[3]
local record = load_record(contact)
local numbers = record and record.e or {}
for _, number in ipairs(numbers) do list_number(listed, number, since_and_why) end
if #numbers == 0 and redis.call('HSETNX', pending_dnc, contact, since_and_why) == 1 and not record
  and redis.call('HEXISTS', directory, campaign) == 1 then
  tell_backend(contact, 'do_not_call', nil, nil) -- it was forgotten, or comes with a later list
end
if record then
  suppress(contact, record)
  publish()
end
return table.concat(numbers, ' ')
