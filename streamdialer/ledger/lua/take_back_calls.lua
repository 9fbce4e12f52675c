-- Asks the telephone system to end some calls of the campaign that have rung long enough, those first that rang first.
-- Until they end, asking again names the same calls.
-- KEYS 1–23 of the campaign, 24 hang-ups
-- ARGV campaign, why, how many calls, how long they must have rung (ms), most calls to look at
-- Returns how many were asked for
-- uses: clock campaign bounded_stream hangups
local why, wanted, min_ring_ms, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local asked = 0
for _, contact in ipairs(redis.call('ZRANGE', dialing, 0, most - 1)) do
  if asked == wanted then break end
  local record = load_record(contact)
  local attempt = record and record.h and record.h[#record.h]
  if attempt and attempt.lm and ledger_ms - attempt.lm >= min_ring_ms then
    asked = asked + request_hangup(KEYS[24], record, why)
  end
end
return asked
