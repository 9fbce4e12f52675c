-- The caller ids that a campaign's calls show in turn, and how many calls each has had on a calendar day.
-- The pool is JSON in the totals, field `caller_ids` (`CallerIdPool` in `ledger/caller_ids.py`). The hash `counts`
-- (`Keys.caller_ids`) has '<day> <caller id>' -> calls sent, of all campaigns; days that are over go when the first call of a
-- new day is counted.
local caller_ids = {}
do
  local EXPIRY_MS, KEPT_DAYS = 3 * 86400000, 2 -- two calendar days are current at once in different zones

  local function load_pool()
    local raw = redis.call('HGET', totals, 'caller_ids')
    return raw and cjson.decode(raw) or nil
  end

  local function field_prefix(pool)
    return string.format('%d ', server_ms < pool.day_ends_ms and pool.day or pool.day + 1)
  end

  -- Returns how often each of the ids has been used today.
  local function read_counts(counts, day, ids)
    local fields = {}
    for i, id in ipairs(ids) do fields[i] = day .. id[1] end
    local used = redis.call('HMGET', counts, unpack(fields))
    for i = 1, #ids do used[i] = tonumber(used[i] or 0) end
    return used
  end

  local function drop_old(counts, day)
    for _, field in ipairs(redis.call('HKEYS', counts)) do
      if tonumber(string.match(field, '^%d+')) < tonumber(day) - KEPT_DAYS then redis.call('HDEL', counts, field) end
    end
  end

  -- Returns the id whose turn it is; nil when all have reached the cap.
  local function next_of(counts, day, ids, cap)
    if #ids == 0 then return nil end
    local used, turn = read_counts(counts, day, ids), 0
    for i = 1, #ids do turn = turn + used[i] end
    for i = 0, #ids - 1 do
      local at = (turn + i) % #ids + 1
      if not cap or used[at] < cap then return ids[at][1] end
    end
  end

  function caller_ids.save(encoded) -- nil = the campaign has no pool
    if encoded then
      redis.call('HSET', totals, 'caller_ids', encoded)
    else
      redis.call('HDEL', totals, 'caller_ids')
    end
  end

  -- Returns how many more calls the caps allow today.
  function caller_ids.room(counts)
    local pool = load_pool()
    if not pool or not tonumber(pool.cap) then return math.huge end
    local room = -count(reserved)
    for _, used in ipairs(read_counts(counts, field_prefix(pool), pool.ids)) do
      room = room + math.max(0, pool.cap - used)
    end
    return math.max(0, room)
  end

  -- Chooses the caller id of a call and notes it in the attempt. `near` are the digits with which those that come first
  -- begin ('*' = any). Returns false when all have reached the cap. The caller counts it and saves the record.
  function caller_ids.take(counts, attempt, near)
    local pool = load_pool()
    if not pool then return true end -- the campaign has a pool no more
    local day, cap, first = field_prefix(pool), tonumber(pool.cap), {}
    for _, id in ipairs(pool.by_area and pool.ids or {}) do
      if string.sub(id[2], 1, #near) == near then first[#first + 1] = id end
    end
    local chosen = next_of(counts, day, first, cap) or next_of(counts, day, pool.ids, cap)
    if not chosen then return false end
    attempt.ci, attempt.cy = chosen, day
    return true
  end

  -- Counts the caller id that an attempt has taken, if any.
  function caller_ids.count(counts, attempt)
    if not attempt.cy then return end
    if redis.call('HINCRBY', counts, attempt.cy .. attempt.ci, 1) == 1 then drop_old(counts, attempt.cy) end
    redis.call('PEXPIRE', counts, EXPIRY_MS)
  end

  -- The call was not placed: it does not use up the cap. The caller saves the record.
  function caller_ids.give_back(counts, attempt)
    local field = attempt.ci and attempt.cy .. attempt.ci
    if field and tonumber(redis.call('HGET', counts, field) or 0) > 0 then redis.call('HINCRBY', counts, field, -1) end
    attempt.cy = nil
  end
end
