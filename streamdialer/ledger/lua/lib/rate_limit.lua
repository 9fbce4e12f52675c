-- How many more calls the rate limits of the campaign and of its trunk allow now.
-- Rate limits are the struct `RateLimits` (`ledger/rate_limits.py`). For each member of the trunk KEYS has its
--   reserved, dialing and connected contacts.
-- The hash `trunks`: c:<campaign> -> trunk of its calls; t:<trunk> -> the trunk's token bucket. The
--   campaign's own bucket is in its totals, field `bucket`. A bucket is 'tokens ms': the calls it held at
--   that time. It fills by calls per second, up to those of one second and at least one.

local function read_bucket(hash, field, per_second)
  local stored, at = string.match(redis.call('HGET', hash, field) or '', '^(%S+) (%S+)$')
  local capacity = math.max(1, per_second)
  local tokens = stored and math.min(capacity, stored + (ledger_ms - at) * per_second / 1000) or capacity
  return { hash = hash, field = field, per_second = per_second, tokens = tokens }
end

-- Returns {buckets, calls = calls the buckets hold, channels = free channels of the trunk, is_changed = the
-- campaigns on the trunk are not `trunk_members`?}. The members' keys begin at `first_key`.
local function check_rate(trunks, limits, first_key)
  local trunk, own = limits.trunk or '', 'c:' .. campaign
  local rate = { buckets = {}, calls = math.huge, channels = math.huge }
  if redis.call('HGET', trunks, own) ~= trunk then redis.call('HSET', trunks, own, trunk) end
  if limits.calls_per_second then rate.buckets[1] = read_bucket(totals, 'bucket', limits.calls_per_second) end
  if limits.trunk_calls_per_second then
    rate.buckets[#rate.buckets + 1] = read_bucket(trunks, 't:' .. trunk, limits.trunk_calls_per_second)
  end
  for _, bucket in ipairs(rate.buckets) do rate.calls = math.min(rate.calls, math.floor(bucket.tokens + 1e-9)) end
  if not limits.trunk_channels then return rate end

  local others, live = limits.trunk_members or {}, count(reserved) + count(dialing) + count(connected)
  local expected = { [own] = trunk }
  for i, other in ipairs(others) do
    expected['c:' .. other] = trunk
    for at = first_key + 3 * (i - 1), first_key + 3 * i - 1 do live = live + count(KEYS[at]) end
  end
  rate.channels = limits.trunk_channels - live
  local members, stored = 0, redis.call('HGETALL', trunks)
  for i = 1, #stored, 2 do
    if string.sub(stored[i], 1, 2) == 'c:' and stored[i + 1] == trunk then
      members = members + 1
      if not expected[stored[i]] then rate.is_changed = true end
    end
  end
  if members ~= #others + 1 then rate.is_changed = true end
  return rate
end

-- Takes `calls` tokens out of each bucket.
local function use_rate(rate, calls)
  for _, bucket in ipairs(rate.buckets) do
    bucket.tokens = bucket.tokens - calls
    redis.call('HSET', bucket.hash, bucket.field, format_number(bucket.tokens) .. ' ' .. format_number(ledger_ms))
  end
end

-- Returns in how many ms every bucket holds another call.
local function next_call_ms(rate)
  local longest = 0
  for _, bucket in ipairs(rate.buckets) do
    longest = math.max(longest, math.ceil((1 - bucket.tokens) * 1000 / bucket.per_second))
  end
  return longest
end
