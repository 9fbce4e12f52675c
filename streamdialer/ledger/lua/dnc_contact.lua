-- Takes a contact who must not be called again out of dialing, and puts its numbers onto the do-not-call
-- list. A call that is up goes on and ends as do_not_call.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 campaign's pending_dnc (lib/suppression.lua)
-- ARGV campaign, contact, why
-- Returns the contact's numbers, joined by spaces; '' when they are not known here
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression number_index
local dnc_list, pending_dnc = KEYS[24], KEYS[25]
local contact, since_and_why = ARGV[2], math.floor(server_ms / 1000) .. ' ' .. ARGV[3]
local record = load_record(contact)
local numbers = record and record.e or {}
for _, number in ipairs(numbers) do add_to_dnc_list(server, dnc_list, number, since_and_why) end
if #numbers == 0 and redis.call('HEXISTS', pending_dnc, contact) == 0 then
  if not record and redis.call('HEXISTS', directory, campaign) == 1 then
    enqueue_update(contact, 'do_not_call', nil, nil) -- the contact was removed, or is still to be loaded
  end
  redis.call('HSET', pending_dnc, contact, since_and_why)
end
redis.call('PEXPIRE', pending_dnc, PENDING_DNC_TTL_MS)
if record then
  suppress(contact, record)
  write_public_hash()
end
return table.concat(numbers, ' ')
