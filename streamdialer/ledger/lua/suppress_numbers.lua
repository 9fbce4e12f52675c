-- Lists numbers that must not be called; one that is listed keeps its first reason.
-- KEYS 1 the list, 2 contacts by number
-- ARGV why, then the numbers, each E.164 or the digits where no country was known
-- Returns the contacts the ledger holds of these numbers, as campaign:contact
-- uses: suppression
local since_and_why = redis.call('TIME')[1] .. ' ' .. ARGV[1]
local wanted, held = {}, {}
for i = 2, #ARGV do
  list_number(KEYS[1], ARGV[i], since_and_why)
  wanted[i - 1] = bare(ARGV[i])
end
if #wanted == 0 then return held end
for _, holders in ipairs(redis.call('HMGET', KEYS[2], unpack(wanted))) do
  for holder in string.gmatch(holders or '', '%S+') do held[#held + 1] = holder end
end
return held
