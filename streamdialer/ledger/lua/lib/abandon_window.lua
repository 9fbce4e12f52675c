-- Returns the calls answered by a person and the calls abandoned in the last `hours` hours, the hour of
-- `ledger_ms` included. lib/attempts.lua writes the fields: the hour since 1970 times a million, plus the count.
local function abandon_window(totals, ledger_ms, hours)
  local first, fields = math.floor(ledger_ms / 3600000) - hours + 1, {}
  for hour = first, first + hours - 1 do
    fields[#fields + 1] = 'p' .. hour % 744
    fields[#fields + 1] = 'b' .. hour % 744
  end
  local sums = { 0, 0 }
  for i, value in ipairs(redis.call('HMGET', totals, unpack(fields))) do
    local stored, which = tonumber(value or 0), 2 - i % 2
    if math.floor(stored / 1000000) == first + math.floor((i - 1) / 2) then sums[which] = sums[which] + stored % 1000000 end
  end
  return sums[1], sums[2]
end
