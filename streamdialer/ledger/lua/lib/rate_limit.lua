-- How many calls more the campaign's pace and its trunk allow at this instant.
-- Pace: {c = calls per second of the campaign?, t = its trunk (nil = that of all campaigns that name none), l = lines of the
--   trunk?, r = calls per second of the trunk?, m = the other campaigns on the trunk?}. For each of those, its reserved, unanswered
--   and connected are passed as KEYS.
-- In `trunks`, a hash: c:<campaign> -> the trunk of its calls; t:<trunk> -> its bucket. The campaign's is in the totals, `bucket`.
-- A bucket: how many calls it held, and when, ms. It fills by calls per second, up to those of one second, or one call.

local function bucket_of(hash, field, per_second)
  local held, at = string.match(redis.call('HGET', hash, field) or '', '^(%S+) (%S+)$')
  local most = math.max(1, per_second)
  local holds = held and math.min(most, held + (ledger_ms - at) * per_second / 1000) or most
  return { hash = hash, field = field, per_second = per_second, holds = holds }
end

-- Returns {calls = how many the buckets hold, lines = how many the trunk carries besides those that are live, is_changed = the
-- campaigns on the trunk are not those passed?}. The keys of the others begin at `first_key`.
local function look_at_pace(trunks, pace, first_key)
  local trunk, own = pace.t or '', 'c:' .. campaign
  local looked = { buckets = {}, calls = math.huge, lines = math.huge }
  if redis.call('HGET', trunks, own) ~= trunk then redis.call('HSET', trunks, own, trunk) end
  if pace.c then looked.buckets[1] = bucket_of(totals, 'bucket', pace.c) end
  if pace.r then looked.buckets[#looked.buckets + 1] = bucket_of(trunks, 't:' .. trunk, pace.r) end
  for _, bucket in ipairs(looked.buckets) do looked.calls = math.min(looked.calls, math.floor(bucket.holds + 1e-9)) end
  if not pace.l then return looked end

  local others, live = pace.m or {}, count(reserved) + count(dialing) + count(connected)
  local expected = { [own] = trunk }
  for i, other in ipairs(others) do
    expected['c:' .. other] = trunk
    for at = first_key + 3 * (i - 1), first_key + 3 * i - 1 do live = live + count(KEYS[at]) end
  end
  looked.lines = pace.l - live
  local members, known = 0, redis.call('HGETALL', trunks)
  for i = 1, #known, 2 do
    if string.sub(known[i], 1, 2) == 'c:' and known[i + 1] == trunk then
      members = members + 1
      if not expected[known[i]] then looked.is_changed = true end
    end
  end
  if members ~= #others + 1 then looked.is_changed = true end
  return looked
end

-- So many calls are placed now.
local function take_pace(looked, calls)
  for _, bucket in ipairs(looked.buckets) do
    bucket.holds = bucket.holds - calls
    redis.call('HSET', bucket.hash, bucket.field, digits(bucket.holds) .. ' ' .. digits(ledger_ms))
  end
end

-- When the buckets hold the next call, ms from now.
local function next_call_ms(looked)
  local longest = 0
  for _, bucket in ipairs(looked.buckets) do
    longest = math.max(longest, math.ceil((1 - bucket.holds) * 1000 / bucket.per_second))
  end
  return longest
end
