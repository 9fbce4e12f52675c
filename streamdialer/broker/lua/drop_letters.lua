-- Deletes dead letters permanently.
-- KEYS 1 dead letters, 2 their index, 3 their sizes
-- ARGV ids
-- Returns how many there were
-- uses: letters
local dropped = 0
for _, id in ipairs(ARGV) do dropped = dropped + delete_letter(KEYS[1], KEYS[2], KEYS[3], id) end
return dropped
