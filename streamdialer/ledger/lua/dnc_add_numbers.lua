-- Puts numbers onto the do-not-call list.
-- KEYS 1 do-not-call list, 2 contacts by number, 3 server
-- ARGV why, then the numbers, each E.164 or the digits where no country was known
-- Returns the digits, in any spelling of those numbers, of which the ledger holds contacts
-- uses: spellings suppression
local dnc_list, contacts_by_number, server = unpack(KEYS)
local since_and_why = redis.call('TIME')[1] .. ' ' .. ARGV[1]
local has_contacts, with_contacts = redis.call('EXISTS', contacts_by_number) == 1, {}
for i = 2, #ARGV do
  add_to_dnc_list(server, dnc_list, ARGV[i], since_and_why)
  for _, number in ipairs(has_contacts and spellings_of(server, ARGV[i]) or {}) do
    local from, to = '[' .. number .. ' ', '(' .. number .. '!'
    if redis.call('ZRANGEBYLEX', contacts_by_number, from, to, 'LIMIT', 0, 1)[1] then
      with_contacts[#with_contacts + 1] = number
    end
  end
end
return with_contacts
