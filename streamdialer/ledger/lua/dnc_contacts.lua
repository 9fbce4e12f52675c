-- Takes contacts whose number is on the do-not-call list out of dialing. Calls that ring are to be
-- hung up; conversations go on, and end as do_not_call.
-- KEYS 1–23 of the campaign, 24 hang-ups
-- ARGV campaign, then the contacts
-- Returns how many of them the ledger knows
-- uses: clock campaign outbox phone_rotation retry stream_ids attempts suppression number_index bounded_stream hangups
local known = 0
for i = 2, #ARGV do
  local record = load_record(ARGV[i])
  if record then
    known = known + 1
    if not record.dnc then request_hangup(KEYS[24], record, 'do_not_call') end
    suppress(ARGV[i], record)
  end
end
write_public_hash()
return known
