-- Resets the idle time of entries a consumer still works on. Entries another consumer has taken over stay there.
-- KEYS 1 stream
-- ARGV group, consumer, idle ms to set (0 = works on it; large = any consumer may take it over now), deliveries
--   to set (an entry that is worked on for long, or handed back, is not one that kills its process), entry ids
-- Returns the ids that are no longer this consumer's
local stream, group, consumer, idle, deliveries = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lost = {}
for i = 5, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == consumer then
    redis.call('XCLAIM', stream, group, consumer, 0, ARGV[i], 'IDLE', idle, 'RETRYCOUNT', deliveries, 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
