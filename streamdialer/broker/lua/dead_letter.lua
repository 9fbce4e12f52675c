-- Moves an entry that cannot be handled to the dead letters, once, with the reason and all its fields.
-- KEYS 1 stream, 2 dead letters
-- ARGV group, entry id, most dead letters kept, reason, detail, deliveries
-- Returns the dead letter's id · '' the entry does not exist any more
local stream, dead = KEYS[1], KEYS[2]
local entry = redis.call('XRANGE', stream, ARGV[2], ARGV[2])[1]
redis.call('XACK', stream, ARGV[1], ARGV[2])
if not entry then return '' end
local fields = { 'stream', stream, 'entry', ARGV[2], 'reason', ARGV[4], 'detail', ARGV[5], 'deliveries', ARGV[6] }
for i = 1, #entry[2], 2 do -- the entry's own fields, marked with '='
  fields[#fields + 1] = '=' .. entry[2][i]
  fields[#fields + 1] = entry[2][i + 1]
end
local id = redis.call('XADD', dead, 'MAXLEN', '~', ARGV[3], '*', unpack(fields))
redis.call('XDEL', stream, ARGV[2])
return id
