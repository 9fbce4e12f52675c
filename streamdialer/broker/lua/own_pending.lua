-- Reads a consumer's pending entries without counting a delivery: the reply that delivered them may be lost.
-- KEYS 1 stream
-- ARGV group, consumer, id after which to begin, most entries
-- Returns {id, fields ({} = the entry was deleted)} for each
local stream, group, consumer, after, count = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rows = {}
for _, pending in ipairs(redis.call('XPENDING', stream, group, '(' .. after, '+', count, consumer)) do
  local entry = redis.call('XRANGE', stream, pending[1], pending[1])[1]
  rows[#rows + 1] = { pending[1], entry and entry[2] or {} }
end
return rows
