-- Takes numbers off the do-not-call list that are on it for no other reason than this one.
-- KEYS 1 do-not-call list
-- ARGV why, then the numbers as digits
-- Returns how many it has taken off
local removed = 0
for i = 2, #ARGV do
  local entry = redis.call('HGET', KEYS[1], ARGV[i])
  if entry and string.match(entry, ' (.*)') == ARGV[1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return removed
