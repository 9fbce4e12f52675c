-- Asks the telephone system to end the campaign's calls that ring.
-- KEYS 1–23 of the campaign, 24 hang-ups
-- ARGV campaign, why, from which call of `dialing` to go back ('-1': the last), most calls
-- Returns {how many, the call from which to go on, -1 after the first one}; calls that end meanwhile cost no other
-- uses: clock spellings campaign bounded_stream hangups
local last, most, asked = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
if last < 0 then last = count(dialing) - 1 end
if last < 0 then return { 0, -1 } end
local first = math.max(0, last - most + 1)
for _, contact in ipairs(redis.call('ZRANGE', dialing, first, last)) do
  local record = load_record(contact)
  if record then asked = asked + request_hangup(KEYS[24], record, ARGV[2]) end
end
return { asked, first - 1 }
