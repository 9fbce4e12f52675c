-- Moves an entry that cannot be handled to the dead letters, once, with the reason and its fields. The entry is
-- acknowledged last: whatever fails before leaves it pending.
-- KEYS 1 stream, 2 dead letters, 3 their index, 4 their sizes, 5 the stream's entries retained for other groups
-- ARGV group, entry id, most dead letters kept, most bytes of them, ms for which entries are retained for other groups,
--   reason, detail, deliveries, what was cut off ('' = nothing), then the fields that are kept: name, value, …
-- Returns the dead letter's id · '' the entry is no longer pending
-- uses: stream_ids finish letters
local stream, dead, index, sizes, retained = unpack(KEYS)
local group, entry, reason = ARGV[1], ARGV[2], ARGV[6]
local pending = redis.pcall('XPENDING', stream, group, entry, entry, 1) -- an error where there is no group
if pending.err or #pending == 0 then return '' end
local fields = { 'stream', stream, 'entry', entry, 'reason', reason, 'detail', ARGV[7], 'deliveries', ARGV[8] }
if ARGV[9] ~= '' then
  fields[#fields + 1] = 'cut'
  fields[#fields + 1] = ARGV[9]
end
local bytes = 0
for i = 10, #ARGV do -- the entry's own fields, marked with '='
  fields[#fields + 1] = i % 2 == 0 and '=' .. ARGV[i] or ARGV[i]
end
for _, text in ipairs(fields) do bytes = bytes + #text end
local id = redis.call('XADD', dead, 'MAXLEN', '~', 2 * ARGV[3], '*', unpack(fields))
index_letter(index, sizes, id, reason, bytes)
evict_letters(dead, index, sizes, tonumber(ARGV[3]), tonumber(ARGV[4]))
if reason == 'too_large' then
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
else
  finish(stream, retained, group, { entry }, tonumber(ARGV[5]))
end
return id
