-- People reached and calls abandoned in the last hours, per campaign; for metrics. Writes nothing.
-- KEYS 1 server, then the totals of each campaign
-- ARGV hours of each campaign's window, in the order of KEYS
-- Returns JSON [[people, abandoned]]
local time = redis.call('TIME')
local clock_offset = tonumber(redis.call('HGET', KEYS[1], 'clock_offset') or 0)
local this_hour = math.floor((time[1] * 1000 + clock_offset) / 3600000)

-- The sum of an hourly count; fields as `lib/attempts.lua` writes them.
local function sum_of(totals, letter, hours)
  local first, fields, sum = this_hour - hours + 1, {}, 0
  for hour = first, this_hour do fields[#fields + 1] = letter .. hour % 744 end
  for i, value in ipairs(redis.call('HMGET', totals, unpack(fields))) do
    local stored = tonumber(value or 0)
    if math.floor(stored / 1000000) == first + i - 1 then sum = sum + stored % 1000000 end
  end
  return sum
end

local rates = {}
for i, hours in ipairs(ARGV) do
  rates[i] = { sum_of(KEYS[i + 1], 'p', tonumber(hours)), sum_of(KEYS[i + 1], 'b', tonumber(hours)) }
end
return cjson.encode(rates)
