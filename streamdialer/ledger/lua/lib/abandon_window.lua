-- Returns the calls answered by a person and the calls abandoned in the last `hours` hours, the hour of
-- `ledger_ms` included. lib/apply_facts.lua writes the fields: the hour since 1970 times a million, plus the count.
-- With `keeps_sums`, the sum of the hours before this one is kept in the field `abandon_sums` (hours, this hour,
-- answered, abandoned): a window of 30 days would be 1,440 fields for each campaign of each decision.
local abandon_window
do
  local ADDED_UP_AT_MOST = 24 -- hours; a field is used again 24 hours after its hour has left the longest window

  -- Adds the counts of the hours from `first` to `last`, `times` times each, to `sums`.
  local function add_hours(totals, sums, first, last, times)
    local fields = {}
    for hour = first, last do
      fields[#fields + 1] = 'p' .. hour % 744
      fields[#fields + 1] = 'b' .. hour % 744
    end
    if #fields == 0 then return end
    for i, value in ipairs(redis.call('HMGET', totals, unpack(fields))) do
      local stored, which = tonumber(value or 0), 2 - i % 2
      if math.floor(stored / 1000000) == first + math.floor((i - 1) / 2) then
        sums[which] = sums[which] + times * (stored % 1000000)
      end
    end
  end

  function abandon_window(totals, ledger_ms, hours, keeps_sums)
    if redis.call('EXISTS', totals) == 0 then return 0, 0 end -- a campaign that is gone leaves nothing behind
    local this_hour, sums = math.floor(ledger_ms / 3600000), { 0, 0 }
    local of, at, answered, abandoned =
      string.match(redis.call('HGET', totals, 'abandon_sums') or '', '^(%d+) (%d+) (%d+) (%d+)$')
    local passed = of and tonumber(of) == hours and this_hour - at
    if passed and passed >= 0 and passed <= ADDED_UP_AT_MOST then
      sums = { tonumber(answered), tonumber(abandoned) }
      add_hours(totals, sums, at, this_hour - 1, 1)
      add_hours(totals, sums, at - hours + 1, this_hour - hours, -1)
    else
      add_hours(totals, sums, this_hour - hours + 1, this_hour - 1, 1)
    end
    if keeps_sums and passed ~= 0 then -- a full server adds them up again
      redis.pcall('HSET', totals, 'abandon_sums', string.format('%d %d %d %d', hours, this_hour, sums[1], sums[2]))
    end
    add_hours(totals, sums, this_hour, this_hour, 1)
    return sums[1], sums[2]
  end
end
