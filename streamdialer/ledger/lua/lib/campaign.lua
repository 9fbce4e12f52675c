-- What every script of a campaign shares: names for KEYS 1–23, the clock, contact records, contact states,
-- the public hash.
-- KEYS 1–23 in the order of `Keys.of_campaign()`; ARGV 1 the campaign's id.
--
-- A contact's record is JSON in the hash `records`; `ContactRecord` in `ledger/records.py` says what its fields mean.
-- Field names are short because there is one record per contact, with up to eight attempts.
local campaign_key, ready, deferred, reserved, dialing, connected, final, contacts, records, outbox, totals,
  sweep_schedule, previewing, waiting_ticks, updates, event_watermark, events, directory, orphaned, server,
  calls_up, persons_up, persons_called = unpack(KEYS, 1, 23)
local campaign = ARGV[1]
local states = {
  ready = ready, deferred = deferred, reserved = reserved,
  dialing = dialing, connected = connected, final = final, orphaned = orphaned, previewing = previewing,
}

local ledger_ms, server_ms = ledger_clock(server)

-- Keeps every digit of a score; tostring() would keep only fourteen.
local function format_number(number)
  if number == math.huge then return '+inf' end
  return string.format('%.17g', number)
end

local function load_record(contact)
  local raw = redis.call('HGET', records, contact)
  return raw and cjson.decode(raw) or nil
end

-- Whether the contact's record says that it is in the state in whose set it was found. Else it is taken out of the set: the
-- record is what counts.
local function is_in_state(state, contact, record)
  if record and record.p == state then return true end
  redis.call('ZREM', states[state], contact)
  return false
end

local function save_record(contact, record)
  redis.call('HSET', records, contact, cjson.encode(record))
end

-- Schedules a sweep of the campaign at `ms` or earlier.
local function sweep_by(ms)
  redis.call('ZADD', sweep_schedule, 'LT', format_number(ms), campaign)
end

-- Returns the requested callback that no attempt has placed yet, or nil.
local function open_callback(record)
  local callback = record.cb
  if not callback or callback.had then return nil end
  for _, attempt in ipairs(record.h or {}) do
    if attempt.cb == callback.e and attempt.s ~= 'reserved' and attempt.s ~= 'released' then return nil end
  end
  return callback
end

-- Notes in the totals that the contact's preview offer ended, and that the agent did not end it. The next sweep
-- notifies the agent (lib/preview.lua). `offers_ended` is a JSON list of {agent, contact, entry id of the
-- agent's request, reason}.
local function end_offer(contact, record, reason)
  local offer, ended = record.of, cjson.decode(redis.call('HGET', totals, 'offers_ended') or '[]')
  ended[#ended + 1] = { offer.ag, contact, offer.e, reason }
  redis.call('HSET', totals, 'offers_ended', cjson.encode(ended))
  sweep_by(ledger_ms)
end

-- One person, one call: while a contact has a call that may be up, its campaign holds the number called and the
-- person. No other contact with that number, and no other campaign's contact with that id, is called meanwhile.
--   calls_up        number (digits) -> campaign:contact whose call it is; several, with blanks between them, when news
--                   came late that a call was placed after all. `@agent` likewise, while a call for that agent is reserved
--                   or dialing: an answered one has made the agent busy
--   persons_up      contact id -> the campaign that holds the person, or did a moment ago
--   persons_called  sorted set contact id -> since when the backend knows how that call ended, ms; while a person is
--                   held, it is not there. Kept for as long as a claim trusts the backend's list
--                   (needs_verification in lib/eligibility.lua)
-- `lk` of a record: the numbers it holds, and `@agent`.
local PERSONS_TTL_MS = 86400000 -- longer than any call
local IN_CALL = { reserved = true, dialing = true, connected = true, orphaned = true }

-- Returns the number that the next call, or the one that is up, goes to; of a call that a data loss has made unknown,
-- all numbers of the contact.
local function numbers_in_use(record, attempt)
  local numbers = record.e or {}
  local callback = not attempt and open_callback(record)
  local index = attempt and attempt.ph or not attempt and (record.ni or 1)
  if attempt and attempt.to or callback and callback.nn then
    numbers = { attempt and attempt.to or callback.nn }
  elseif numbers[index] then
    numbers = { numbers[index] }
  end
  return numbers
end

-- Returns the first of the holders that is not the contact itself, and all of those.
local function other_holders(holders, contact)
  local others = {}
  for holder in string.gmatch(holders or '', '%S+') do
    if holder ~= campaign .. ':' .. contact then others[#others + 1] = holder end
  end
  return others[1], table.concat(others, ' ')
end

-- Returns who has a call up to the number that the contact's next call, or its reserved one, goes to, or to the
-- person; nil when nobody has.
local function other_call(contact, record)
  local newest = record.h and record.h[#record.h]
  for i = 1, record.h and #record.h - 1 or 0 do -- late news: an older call was placed after all
    local older = record.h[i]
    local may_be_up = (older.s == 'ringing' or older.s == 'answered') and ledger_ms < older.sm + PERSONS_TTL_MS
    if may_be_up then return campaign .. ':' .. contact end
  end
  for _, number in ipairs(numbers_in_use(record, record.p == 'reserved' and newest or nil)) do
    for _, holders in ipairs(redis.call('HMGET', calls_up, unpack(spellings_of(server, number)))) do
      local other = other_holders(holders, contact)
      if other then return other end
    end
  end
  local holder = redis.call('HGET', persons_up, contact)
  if holder and holder ~= campaign and not redis.call('ZSCORE', persons_called, contact) then
    return holder .. ':' .. contact
  end
end

local function let_go(contact, name)
  local other, others = other_holders(redis.call('HGET', calls_up, name), contact)
  if other then redis.call('HSET', calls_up, name, others) else redis.call('HDEL', calls_up, name) end
end

-- The caller saves the record.
local function hold_line(contact, record)
  local newest, held, is_held = record.h[#record.h], {}, {}
  local agent = newest.ag and (record.p == 'reserved' or record.p == 'dialing') and '@' .. newest.ag
  for _, name in ipairs(record.lk or {}) do
    if string.sub(name, 1, 1) == '@' and name ~= agent then
      let_go(contact, name)
    else
      held[#held + 1], is_held[name] = name, true
    end
  end
  local function hold(name)
    if is_held[name] then return end
    local other, others = other_holders(redis.call('HGET', calls_up, name), contact)
    redis.call('HSET', calls_up, name, (other and others .. ' ' or '') .. campaign .. ':' .. contact)
    held[#held + 1], is_held[name] = name, true
  end
  for _, number in ipairs(numbers_in_use(record, newest)) do hold(without_plus(number)) end
  if agent then hold(agent) end
  record.lk = #held > 0 and held or nil
  if redis.call('ZREM', persons_called, contact) == 1 then redis.call('HDEL', persons_up, contact) end
  redis.call('HSETNX', persons_up, contact, campaign)
  redis.call('PEXPIRE', persons_up, PERSONS_TTL_MS)
end

-- To be called when the backend knows everything about the contact and no call of it is up.
local function release_person(contact)
  if redis.call('HGET', persons_up, contact) ~= campaign then return end
  redis.call('ZADD', persons_called, 'NX', format_number(ledger_ms), contact)
  redis.call('PEXPIRE', persons_called, PERSONS_TTL_MS)
end

local function forget_persons_called_before(ms)
  local old = redis.call('ZRANGEBYSCORE', persons_called, '-inf', format_number(ms), 'LIMIT', 0, 1000)
  if #old == 0 then return end
  redis.call('HDEL', persons_up, unpack(old))
  redis.call('ZREM', persons_called, unpack(old))
end

-- The caller saves the record.
local function release_line(contact, record)
  for _, name in ipairs(record.lk or {}) do let_go(contact, name) end
  record.lk = nil
  if redis.call('HEXISTS', outbox, contact) == 0 then release_person(contact) end
end

-- Notes that the backend knows everything about the contact.
local function drop_update(contact, record)
  redis.call('HDEL', outbox, contact)
  if not record or not IN_CALL[record.p] then release_person(contact) end
end

-- Moves the contact into a state and out of the one it was in. The caller saves the record.
local function set_state(contact, record, state, score)
  if record.of and state ~= 'reserved' then
    end_offer(contact, record, record.dnc and 'do_not_call' or open_callback(record) and 'callback' or 'late_news')
  end
  local old_state = record.p
  if old_state and old_state ~= state then redis.call('ZREM', states[old_state], contact) end
  record.w, record.x, record.of, record.cf = nil, nil, nil, nil
  redis.call('ZADD', states[state], format_number(score), contact)
  record.p = state
  if IN_CALL[state] then
    hold_line(contact, record)
  elseif IN_CALL[old_state] then
    release_line(contact, record)
  end
  if state ~= 'ready' and score ~= math.huge then sweep_by(score) end
end

local PRIORITY_STEP, ORDER_EPOCH = 2 ^ 40, 1577836800000 -- 2020-01-01, ms: leaves nine bits below one millisecond
-- Returns the score in `ready`: priority first (10 before 1), then age. `fraction` orders contacts of the
-- same millisecond.
local function ready_order(priority, ms, fraction)
  return (10 - priority) * PRIORITY_STEP + (ms - ORDER_EPOCH) + fraction
end

-- Defers the contact until `ms` and notes why: `reason` is a code, `detail` a sentence or nil. The caller
-- saves the record.
local function defer(contact, record, ms, reason, detail)
  if record.dnc then return set_state(contact, record, 'final', math.huge) end
  set_state(contact, record, 'deferred', ms)
  record.w = { y = reason, s = detail }
end

-- Whether calling hours, a cap or another call to the person defer the contact: it was ready before, and the backend shows it as pending.
local RULE_REASONS = {
  window_closed = true, cap_attempts = true, cap_conversations = true, min_gap = true, abandon_cooloff = true,
  machine_cooloff = true, no_consent = true, in_call = true,
}
local function is_deferred_by_rule(record) return record.w ~= nil and RULE_REASONS[record.w.y] == true end

-- Makes the contact ready: in its own order, or before all priorities when its callback is due. A contact
-- whose callback is due later becomes deferred, one that must not be called becomes final. The caller saves
-- the record.
local function make_ready(contact, record)
  local callback = open_callback(record)
  if record.dnc then
    set_state(contact, record, 'final', math.huge)
  elseif callback and callback.at > server_ms then
    defer(contact, record, callback.at + (ledger_ms - server_ms), 'callback')
  elseif callback and not callback.sk then
    set_state(contact, record, 'ready', ready_order(11, callback.at, 0))
  else
    set_state(contact, record, 'ready', tonumber(record.o))
  end
end

local function count(set) return redis.call('ZCARD', set) end
local function is_active() return redis.call('HGET', campaign_key, 'status') == 'active' end

-- Writes counts and totals into the public hash. Never creates the hash of a campaign the ledger does not
-- know.
local PUBLIC_TOTALS = { 'total_calls', 'answered_calls', 'no_answer', 'busy', 'failed', 'abandoned', 'machine' }
local function write_public_hash()
  if redis.call('HEXISTS', directory, campaign) == 0 then return end
  local values = redis.call('HMGET', totals, unpack(PUBLIC_TOTALS))
  local fields = {
    'active_calls', count(dialing), 'connected_calls', count(connected),
    'ready_contacts', count(ready), 'waiting_contacts', count(deferred), 'updated_at', iso(server_ms),
  }
  for i, name in ipairs(PUBLIC_TOTALS) do
    fields[#fields + 1] = name
    fields[#fields + 1] = values[i] or '0'
  end
  redis.call('HSET', campaign_key, unpack(fields))
end
