-- Puts numbers onto the do-not-call list.
-- KEYS 1 do-not-call list, 2 contacts by number
-- ARGV why, then the numbers, each E.164 or the digits where no country was known
-- Returns those of the numbers, as digits, of which the ledger holds contacts
-- uses: suppression
local since_and_why = redis.call('TIME')[1] .. ' ' .. ARGV[1]
local has_contacts, with_contacts = redis.call('EXISTS', KEYS[2]) == 1, {}
for i = 2, #ARGV do
  local number = without_plus(ARGV[i])
  add_to_dnc_list(KEYS[1], ARGV[i], since_and_why)
  local from, to = '[' .. number .. ' ', '(' .. number .. '!'
  if has_contacts and redis.call('ZRANGEBYLEX', KEYS[2], from, to, 'LIMIT', 0, 1)[1] then
    with_contacts[#with_contacts + 1] = number
  end
end
return with_contacts
