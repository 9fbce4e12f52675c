-- Looks whether what must be true of a campaign in every instant is true, of some contacts of each place. Changes nothing.
-- KEYS 1–20 of the campaign
-- ARGV campaign, contacts looked at per place
-- Returns JSON {checked = how often, by name, broken = [[name, contact ('' = the campaign), what is wrong], …]?}
-- uses: clock campaign
local most = tonumber(ARGV[2])
local checked, broken = {}, {}
local function expect(name, contact, is_true, wrong)
  checked[name] = (checked[name] or 0) + 1
  if not is_true then broken[#broken + 1] = { name, contact, wrong } end
end

local held, earliest = 0, math.huge
for state, set in pairs(states) do
  held = held + count(set)
  local first = state ~= 'ready' and redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if first and first ~= 'inf' then earliest = math.min(earliest, tonumber(first)) end
end
local known = redis.call('HLEN', records)
expect('one_state', '', held == known, held .. ' contacts are in states, ' .. known .. ' have records')
if earliest < math.huge then
  local sweep = redis.call('ZSCORE', sweep_schedule, campaign)
  local is_in_time = sweep and tonumber(sweep) <= math.max(earliest, ledger_ms + 1001) -- stalled ones: looked at every second
  expect('sweep', '', is_in_time, 'deadline ' .. digits(earliest) .. ', sweep ' .. (sweep or 'none'))
end

local IN_CALL = { reserved = true, dialing = true, connected = true, orphaned = true }
local STATE_OF_ATTEMPT = {
  reserved = 'reserved', sent = 'dialing', ringing = 'dialing', answered = 'connected', orphaned = 'orphaned',
}
for state, set in pairs(states) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, most - 1)) do
    local record = load_record(contact)
    local says = record and record.p or 'nothing'
    expect('record', contact, says == state, 'it is in ' .. state .. ', its record says ' .. says)
    if record then
      local newest = record.h and record.h[#record.h]
      local attempt_state = newest and newest.s or 'none'
      expect('attempt', contact, STATE_OF_ATTEMPT[attempt_state] == (IN_CALL[state] and state or nil),
        'it is in ' .. state .. ', its newest attempt is ' .. attempt_state)
      local may_be_called = state == 'ready' or state == 'previewing' or state == 'reserved' or state == 'deferred'
      expect('suppressed', contact, not (record.dnc and may_be_called), 'not to be called, and in ' .. state)
    end
  end
end

local some = redis.call('HRANDFIELD', outbox, most, 'WITHVALUES')
for i = 1, #some, 2 do
  local entry = cjson.decode(some[i + 1]).e
  local is_on_its_way = #redis.call('XRANGE', updates, entry, entry) > 0
  expect('told', some[i], is_on_its_way, 'no entry of updates says that the backend has not been told')
end
return cjson.encode({ checked = checked, broken = #broken > 0 and broken or nil })
