-- Takes contacts whose number is on the do-not-call list out of dialing. Calls that are up go on and end as
-- do_not_call.
-- KEYS 1–23 of the campaign
-- ARGV campaign, then the contacts
-- Returns how many of them the ledger knows
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index
local known = 0
for i = 2, #ARGV do
  local record = load_record(ARGV[i])
  if record then
    known = known + 1
    suppress(ARGV[i], record)
  end
end
write_public_hash()
return known
