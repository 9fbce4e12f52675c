-- Brings contacts from the backend into `ready`; whoever the ledger already knows stays where they are, and takes the
-- backend's priority, and its corrections while they are not being called. Nothing is brought for a campaign that is not
-- registered (any more): nobody would ever remove it.
-- KEYS 1–20 of the campaign, 21 numbers not to be called, 22 requests, of contacts whose number was not known here,
--   23 contacts by number
-- ARGV campaign, max attempts, tombstone ms, country of local numbers ('' = not known), hours of each zone set ('' = any), then
--   per contact: id, priority, attempts, JSON, problem ('' = can be called), reset ('1' = the backend shows a status other
--   than pending: tell it)
-- Returns JSON {added, known, invalid, used_up, refused (how many may not be called, or not now, by reason)}
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index hours call_history eligibility
local max_attempts, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local hours = read_hours(ARGV[5])
local answer = { added = 0, known = 0, invalid = 0, used_up = 0, refused = {} }
if redis.call('HEXISTS', directory, campaign) == 0 then return cjson.encode(answer) end
if ARGV[4] ~= '' then redis.call('HSET', totals, 'country', ARGV[4]) end

-- A contact the ledger knows: with another priority it moves, and keeps its age; one that waits moves when it is due.
local function see_again(contact, record, priority, is_pending)
  local is_moved, is_seen = record.pr ~= priority, is_pending and record.p == 'ready'
  if record.p == 'final' or not (is_moved or is_seen) then return end
  if is_moved then
    record.o = digits(tonumber(record.o) + (record.pr - priority) * PRIORITY_STEP)
    record.pr = priority
    if record.p == 'ready' then to_ready(contact, record) end
  end
  if is_seen then record.sn = ledger_ms end
  save_record(contact, record)
end

-- Takes what the backend has corrected of a contact who is not being called: numbers, zone, what an agent is shown.
local function correct(contact, record, call, problem)
  if record.p ~= 'ready' and record.p ~= 'deferred' or redis.call('HGET', contacts, contact) == call then return end
  local before = table.concat(numbers_of(record), ' ')
  forget_numbers(KEYS[23], contact, record)
  redis.call('HSET', contacts, contact, call)
  record.e, record.ns, record.z = nil, nil, nil
  know_contact(contact, record, call, KEYS[21], KEYS[22], KEYS[23])
  if table.concat(numbers_of(record), ' ') ~= before then record.ni, record.nx = nil, nil end
  if record.dnc then
    record.dnc = nil
    suppress(contact, record)
  elseif problem ~= '' then
    record.why = problem
    move(contact, record, 'final', math.huge)
    tell_backend(contact, 'invalid', nil, nil)
  end
  save_record(contact, record)
end

local function refuse(reason) answer.refused[reason] = (answer.refused[reason] or 0) + 1 end

for i = 6, #ARGV, 6 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = load_record(contact)
  if known then
    answer.known = answer.known + 1
    see_again(contact, known, priority, ARGV[i + 5] ~= '1')
    correct(contact, known, ARGV[i + 3], ARGV[i + 4])
    if cjson.decode(ARGV[i + 3]).dnc then suppress(contact, known) end
  else
    local record = { sn = ledger_ms, a = attempts, o = digits(order_of(priority, ledger_ms, ((i - 6) / 6 % 512) / 512)), pr = priority }
    record.n = tonumber(redis.call('HGET', totals, 'n:' .. contact) or nil)
    know_contact(contact, record, ARGV[i + 3], KEYS[21], KEYS[22], KEYS[23])
    if record.dnc then
      refuse('do_not_call')
      move(contact, record, 'final', math.huge)
      tell_backend(contact, 'do_not_call', nil, nil)
    elseif ARGV[i + 4] ~= '' then
      answer.invalid = answer.invalid + 1
      record.why = ARGV[i + 4]
      move(contact, record, 'final', math.huge)
      tell_backend(contact, 'invalid', nil, nil)
    elseif attempts >= max_attempts then
      answer.used_up = answer.used_up + 1
      redis.call('HSET', contacts, contact, ARGV[i + 3]) -- a callback may be asked for
      move(contact, record, 'final', ledger_ms + tombstone_ms)
    else
      redis.call('HSET', contacts, contact, ARGV[i + 3])
      local refused = closed_by(opening_of(hours, contact, record) or {}) -- what is not known here, the claim asks for
      if refused then
        refuse(refused.reason)
        pass_over(contact, record, refused)
      else
        answer.added = answer.added + 1
        to_ready(contact, record)
      end
      if ARGV[i + 5] == '1' and record.p ~= 'final' then tell_backend(contact, 'pending', nil, nil) end
    end
    save_record(contact, record)
  end
end
if answer.added > 0 or next(answer.refused) then redis.call('HDEL', totals, 'exhausted') end -- its end will be another one (publish_exhausted.lua)
publish()
return cjson.encode(answer)
