-- Dead letters are bounded in number and in bytes. When there are too many, the oldest one goes of the reason that takes
-- the most room: a flood of one kind pushes out only its own kind. Two keys know what there is:
--   index  sorted set of `reason ms-sequence size` (the id's numbers with leading zeros), all with one score
--   sizes  hash: `n` number and `b` bytes of all letters, `n reason` and `b reason` of those of one reason
-- Both may know letters that were deleted by hand; these go first.

local function add_size(sizes, reason, count, bytes)
  for _, of in ipairs({ '', ' ' .. reason }) do
    local left = redis.call('HINCRBY', sizes, 'n' .. of, count)
    redis.call('HINCRBY', sizes, 'b' .. of, bytes)
    if left <= 0 then redis.call('HDEL', sizes, 'n' .. of, 'b' .. of) end
  end
end

local function padded(id)
  local ms, sequence = string.match(id, '^(%d+)%-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #sequence) .. sequence
end

local function index_letter(index, sizes, id, reason, bytes)
  redis.call('ZADD', index, 0, string.format('%s %s %d', reason, padded(id), bytes))
  add_size(sizes, reason, 1, bytes)
end

-- Forgets the first letter in the index whose entry begins with `prefix`. Returns its id, nil when there is none.
local function forget_letter(index, sizes, prefix)
  local name = redis.call('ZRANGEBYLEX', index, '[' .. prefix, '(' .. prefix .. '\255', 'LIMIT', 0, 1)[1]
  if not name then return nil end
  local reason, ms, sequence, bytes = string.match(name, '^(%S+) 0*(%d+)%-0*(%d+) (%d+)$')
  redis.call('ZREM', index, name)
  add_size(sizes, reason, -1, -tonumber(bytes))
  return ms .. '-' .. sequence
end

-- Deletes a letter, whether the index knows it or not. Returns how many there were.
local function delete_letter(dead, index, sizes, id)
  local entry = redis.call('XRANGE', dead, id, id)[1]
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'reason' and string.find(entry[2][i + 1], '^%S+$') then
      forget_letter(index, sizes, entry[2][i + 1] .. ' ' .. padded(id) .. ' ')
    end
  end
  return redis.call('XDEL', dead, id)
end

local MOST_EVICTED = 1000 -- in one call
local function evict_letters(dead, index, sizes, most, most_bytes)
  for _ = 1, MOST_EVICTED do
    local stored, amount = redis.call('HGETALL', sizes), {}
    for i = 1, #stored, 2 do amount[stored[i]] = tonumber(stored[i + 1]) end
    local unit = (amount.n or 0) > most and 'n ' or (amount.b or 0) > most_bytes and 'b '
    if not unit then return end
    local largest
    for name, size in pairs(amount) do
      local is_of_reason = string.sub(name, 1, 2) == unit
      if is_of_reason and (not largest or size > amount[largest]) then largest = name end
    end
    local id = largest and forget_letter(index, sizes, string.sub(largest, 3) .. ' ')
    if not id then return redis.call('DEL', sizes, index) end -- someone has deleted one of them: they begin anew
    redis.call('XDEL', dead, id)
  end
end
