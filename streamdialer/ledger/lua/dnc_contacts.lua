-- Nobody calls these contacts again, whose number has been listed: they leave the line at once, calls that are up end as
-- do_not_call.
-- KEYS 1–20 of the campaign
-- ARGV campaign, then the contacts
-- Returns how many of them are known
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index
local known = 0
for i = 2, #ARGV do
  local record = load_record(ARGV[i])
  if record then
    known = known + 1
    suppress(ARGV[i], record)
  end
end
publish()
return known
