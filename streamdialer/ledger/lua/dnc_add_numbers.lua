-- Lists numbers that must not be called; one that is listed keeps its first reason.
-- KEYS 1 the list, 2 contacts by number
-- ARGV why, then the numbers, each E.164 or the digits where no country was known
-- Returns those numbers, as digits, of which the ledger holds contacts
-- uses: suppression
local since_and_why = redis.call('TIME')[1] .. ' ' .. ARGV[1]
local is_any_held, held = redis.call('EXISTS', KEYS[2]) == 1, {}
for i = 2, #ARGV do
  local number = bare(ARGV[i])
  list_number(KEYS[1], ARGV[i], since_and_why)
  if is_any_held and redis.call('ZRANGEBYLEX', KEYS[2], '[' .. number .. ' ', '(' .. number .. '!', 'LIMIT', 0, 1)[1] then
    held[#held + 1] = number
  end
end
return held
