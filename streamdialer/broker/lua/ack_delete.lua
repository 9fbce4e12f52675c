-- Acknowledges entries that are done and deletes them, so that the stream's length is the work left (lib/finish.lua).
-- KEYS 1 stream, 2 its entries retained for other groups
-- ARGV group, ms for which entries are retained for other groups (0 = not at all), entry ids
-- Returns how many were done
-- uses: stream_ids finish
return finish(KEYS[1], KEYS[2], ARGV[1], { unpack(ARGV, 3) }, tonumber(ARGV[2]))
