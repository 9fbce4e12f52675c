-- Checks what must always be true of a campaign, on a few contacts of each state. Changes nothing.
-- KEYS 1–23 of the campaign
-- ARGV campaign, contacts checked per state
-- Returns JSON {checked = {invariant = number of checks}, broken = [[invariant, contact ('' = the campaign),
--   what is wrong], …]?}
-- Invariants:
--   one_state      every contact with a record is in exactly one state
--   next_sweep     the campaign is swept at its earliest deadline
--   record_state   a contact's record names the state the contact is in
--   attempt_state  a contact's newest attempt fits the state the contact is in
--   do_not_call    a contact that must not be called is in no state from which it is dialed
--   one_call       a contact holds its number and its person as long as its call may be up
--   update_queued  an entry of `updates` exists for every state the backend does not know
-- uses: clock spellings campaign
local sample_size = tonumber(ARGV[2])
local checked, broken = {}, {}
local function expect(invariant, contact, is_true, detail)
  checked[invariant] = (checked[invariant] or 0) + 1
  if not is_true then broken[#broken + 1] = { invariant, contact, detail } end
end

local members, earliest = 0, math.huge
for state, set in pairs(states) do
  members = members + count(set)
  local first = state ~= 'ready' and redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if first and first ~= 'inf' then earliest = math.min(earliest, tonumber(first)) end
end
local record_count = redis.call('HLEN', records)
expect('one_state', '', members == record_count,
  'the states hold ' .. members .. ' contacts, the records ' .. record_count)
if earliest < math.huge then
  local sweep = redis.call('ZSCORE', sweep_schedule, campaign)
  local is_in_time = sweep and tonumber(sweep) <= math.max(earliest, ledger_ms + 1001) -- stalled: every second
  expect('next_sweep', '', is_in_time,
    'the earliest deadline is ' .. format_number(earliest) .. ', the next sweep ' .. (sweep or 'is not scheduled'))
end

local MAY_BE_DIALED = { ready = true, previewing = true, reserved = true, deferred = true }
local STATE_FOR = {
  reserved = 'reserved', sent = 'dialing', ringing = 'dialing', answered = 'connected', orphaned = 'orphaned',
}
local function holds_its_call(contact, record)
  local owner = ' ' .. campaign .. ':' .. contact .. ' '
  for _, number in ipairs(record.lk or {}) do
    local holders = ' ' .. (redis.call('HGET', calls_up, number) or '') .. ' '
    if not string.find(holders, owner, 1, true) then return false end
  end
  return redis.call('HEXISTS', persons_up, contact) == 1
end
for state, set in pairs(states) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, sample_size - 1)) do
    local record = load_record(contact)
    local recorded = record and record.p or 'nothing'
    expect('record_state', contact, recorded == state, 'it is in ' .. state .. ', its record says ' .. recorded)
    if record then
      local newest = record.h and record.h[#record.h]
      local attempt_state = newest and newest.s or 'none'
      expect('attempt_state', contact, STATE_FOR[attempt_state] == (IN_CALL[state] and state or nil),
        'it is in ' .. state .. ', the state of its newest attempt is ' .. attempt_state)
      expect('do_not_call', contact, not (record.dnc and MAY_BE_DIALED[state]),
        'it must not be called, and is in ' .. state)
      local is_right = not record.lk
      if IN_CALL[state] then is_right = holds_its_call(contact, record) end
      expect('one_call', contact, is_right, 'it is in ' .. state .. ', and holds ' .. table.concat(record.lk or {}, ' '))
    end
  end
end

local documents = redis.call('HRANDFIELD', outbox, sample_size, 'WITHVALUES')
for i = 1, #documents, 2 do
  local entry = cjson.decode(documents[i + 1]).e
  local is_queued = #redis.call('XRANGE', updates, entry, entry) > 0
  expect('update_queued', documents[i], is_queued, 'no entry of updates leads to the state the backend does not know')
end
return cjson.encode({ checked = checked, broken = #broken > 0 and broken or nil })
