-- Finds numbers on the do-not-call list, in any spelling.
-- KEYS 1 do-not-call list, 2 server
-- ARGV the numbers, each E.164 or the digits where no country was known
-- Returns for each number its digits on the list and its entry (lib/suppression.lua), both '' when it is not listed
-- uses: spellings suppression
local found = {}
for _, number in ipairs(ARGV) do
  local name, entry = find_on_dnc_list(KEYS[2], KEYS[1], number)
  found[#found + 1], found[#found + 2] = name or '', entry or ''
end
return found
