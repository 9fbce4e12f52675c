-- Lists the contacts the ledger holds of a number, one page at a time.
-- KEYS 1 contacts by number
-- ARGV number (digits), last name of the page before ('' = first page), page size
-- Returns names `campaign:contact` in their order
local head = ARGV[1] .. ' '
local from = ARGV[2] == '' and '[' .. head or '(' .. head .. ARGV[2]
local names = redis.call('ZRANGEBYLEX', KEYS[1], from, '(' .. ARGV[1] .. '!', 'LIMIT', 0, ARGV[3])
for i, name in ipairs(names) do names[i] = string.sub(name, #head + 1) end
return names
