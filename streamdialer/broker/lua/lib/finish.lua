-- What becomes of an entry that is done: it is acknowledged and deleted. While other consumer groups read the stream,
-- it stays until each of them has read and acknowledged it, at most `retention_ms`; `retained` counts such entries.

-- Returns the id after this one; the id itself when it has no successor that a number can hold.
local function next_id(id)
  local ms, sequence = string.match(id, '^(%d+)%-(%d+)$')
  if #sequence < 16 then return ms .. '-' .. string.format('%.0f', tonumber(sequence) + 1) end
  if #ms < 16 then return string.format('%.0f-0', tonumber(ms) + 1) end
  return id
end

-- Returns the id from which on a group still needs entries.
local function needed_from(stream, name, last_delivered)
  local oldest_pending = redis.call('XPENDING', stream, name)[2]
  return oldest_pending or next_id(last_delivered)
end

-- Returns the id from which on our group needs entries, and that from which on any other does; nil where there is none.
local function needed_by_groups(stream, group, retained)
  local groups, own, others = redis.pcall('XINFO', 'GROUPS', stream), nil, nil
  if groups.err then return nil, nil end -- there is no stream
  for _, fields in ipairs(groups) do
    local its = {}
    for i = 1, #fields, 2 do its[fields[i]] = fields[i + 1] end
    local is_alone = #groups == 1 and its.name == group
    if is_alone and redis.call('EXISTS', retained) == 0 then return nil, nil end -- the usual case
    local id = needed_from(stream, its.name, its['last-delivered-id'])
    if its.name == group then own = id elseif not others or is_id_after(others, id) then others = id end
  end
  return own, others
end

local MOST_RETAINED, TRIM_BATCH = 100000, 1000
local function count_retained(retained, change)
  if redis.call('INCRBY', retained, change) <= 0 then redis.call('DEL', retained) end
end

-- Deletes the retained entries before an id, some at a time.
local function trim(stream, retained, id)
  local trimmed = redis.call('XTRIM', stream, 'MINID', '~', id, 'LIMIT', TRIM_BATCH)
  if trimmed == 0 then trimmed = redis.call('XTRIM', stream, 'MINID', id) end
  if trimmed > 0 then count_retained(retained, -trimmed) end
end

-- Returns how many entries are done.
local function finish(stream, retained, group, ids, retention_ms)
  local done, own, others = redis.call('XACK', stream, group, unpack(ids)), nil, nil
  if retention_ms > 0 then own, others = needed_by_groups(stream, group, retained) end
  if not own then return redis.call('XDEL', stream, unpack(ids)) end
  if done > 0 then count_retained(retained, done) end
  local time = redis.call('TIME')
  local from = string.format('%.0f-0', time[1] * 1000 + math.floor(time[2] / 1000) - retention_ms)
  if not others then from = own elseif is_id_after(others, from) then from = others end
  if tonumber(redis.call('GET', retained) or 0) > MOST_RETAINED then from = own end
  trim(stream, retained, is_id_after(from, own) and own or from)
  return done
end
