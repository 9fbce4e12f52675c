-- Takes those of the contacts whose number is on the do-not-call list out of dialing. Calls that ring are to be
-- hung up; conversations go on, and end as do_not_call.
-- KEYS 1–23 of the campaign, 24 hang-ups, 25 do-not-call list
-- ARGV campaign, then the contacts
-- Returns how many they are
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression number_index bounded_stream hangups
local known = 0
for i = 2, #ARGV do
  local record = load_record(ARGV[i])
  if record and is_suppressed(KEYS[25], record) then
    known = known + 1
    local was_known = record.dnc
    suppress(ARGV[i], record)
    if not was_known then request_hangup(KEYS[24], record, 'do_not_call') end
  end
end
write_public_hash()
return known
