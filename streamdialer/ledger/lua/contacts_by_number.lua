-- Which contacts the ledger holds of a number, some at a time.
-- KEYS 1 contacts by number
-- ARGV number (digits), the last one that was returned before ('' = none), most
-- Returns them in their order, each as campaign:contact
local head = ARGV[1] .. ' '
local from = ARGV[2] == '' and '[' .. head or '(' .. head .. ARGV[2]
local found = redis.call('ZRANGEBYLEX', KEYS[1], from, '(' .. ARGV[1] .. '!', 'LIMIT', 0, ARGV[3])
for i, name in ipairs(found) do found[i] = string.sub(name, #head + 1) end
return found
