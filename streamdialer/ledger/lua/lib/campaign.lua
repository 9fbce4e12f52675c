-- What every campaign script shares: names for KEYS 1–20, the clock, contact records, states, the public hash.
-- KEYS 1–20: Keys.of_campaign() in this order.  ARGV 1: the campaign's id.
--
-- A record: {p = place, o = order in `ready` (string), a = attempts that count, n = highest number spent by attempts that
--   are forgotten?, h = {attempt, …} (last = newest), w = why it waits ({y = reason, s = detail?}, only in `waiting`),
--   of = whom it is shown to ({ag = agent, e = entry of the request}, only in `offered`, until they answer), cb = the newest callback asked for
--   ({e = entry of the request, at = due, server's ms, ag = for which agent?, gr = until when for that agent alone, server's
--   ms, num = number?, nn = the number as it is compared?, had = it has been placed, by an attempt no longer in h?, sk = an
--   agent has skipped it?, vain = it was asked for in vain?}), z = its zones (lib/hours.lua), pr = priority, sn = when the backend last showed it as pending
--   or was told so, ms, x = the backend took it out of the line (only in `finished`), q = made
--   from an event of a forgotten call?: how often the contact was called only the backend knows (2: it may come
--   back; 3: its call was over, nothing is told unless the backend shows it as up)}.
-- A place is one of `states` below; a contact with a record is in exactly one of them.
local campaign_key, ready, deferred, reserved, dialing, connected, final, contacts, records, outbox, totals,
  sweep_schedule, previewing, waiting_ticks, updates, event_watermark, events, directory, orphaned, server = unpack(KEYS, 1, 20)
local campaign = ARGV[1]
local states = {
  ready = ready, deferred = deferred, reserved = reserved,
  dialing = dialing, connected = connected, final = final, orphaned = orphaned, previewing = previewing,
}

local ledger_ms, server_ms = ledger_clock(server)

-- Every digit of a score; tostring() would keep only fourteen.
local function digits(number)
  if number == math.huge then return '+inf' end
  return string.format('%.17g', number)
end

local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local days, rest = math.floor(seconds / 86400), seconds % 86400
  local z = days + 719468 -- civil date from days, H. Hinnant, "chrono-compatible low-level date algorithms"
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', year, month, day,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60)
end

local function load_record(contact)
  local raw = redis.call('HGET', records, contact)
  return raw and cjson.decode(raw) or nil
end

local function save_record(contact, record)
  redis.call('HSET', records, contact, cjson.encode(record))
end

-- The campaign needs a sweep at `ms` at the latest.
local function sweep_by(ms)
  redis.call('ZADD', sweep_schedule, 'LT', digits(ms), campaign)
end

-- The callback that was asked for and not placed yet, nil when there is none.
local function owed(record)
  local asked = record.cb
  if not asked or asked.had then return nil end
  for _, attempt in ipairs(record.h or {}) do
    if attempt.cb == asked.e and attempt.s ~= 'reserved' and attempt.s ~= 'released' then return nil end
  end
  return asked
end

-- The agent the contact is shown to does not have it any more, and did nothing for it: noted for the next sweep, which tells
-- them (lib/preview.lua).
local function end_offer(contact, record, reason)
  local offer, ended = record.of, cjson.decode(redis.call('HGET', totals, 'offers_ended') or '[]')
  ended[#ended + 1] = { offer.ag, contact, offer.e, reason }
  redis.call('HSET', totals, 'offers_ended', cjson.encode(ended))
  sweep_by(ledger_ms)
end

-- Puts the contact into one place and out of the one it was in; the caller saves the record.
local function move(contact, record, state, score)
  if record.of and state ~= 'reserved' then
    end_offer(contact, record, record.dnc and 'do_not_call' or owed(record) and 'callback' or 'late_news')
  end
  if record.p and record.p ~= state then redis.call('ZREM', states[record.p], contact) end
  record.w, record.x, record.of = nil, nil, nil
  redis.call('ZADD', states[state], digits(score), contact)
  record.p = state
  if state ~= 'ready' and score ~= math.huge then sweep_by(score) end
end

local PRIORITY_STEP, ORDER_EPOCH = 2 ^ 40, 1577836800000 -- 2020-01-01, ms: leaves nine bits below one millisecond
-- The place in `ready`: priority first (10 before 1), then age; `fraction` orders what arrives in one millisecond.
local function order_of(priority, ms, fraction)
  return (10 - priority) * PRIORITY_STEP + (ms - ORDER_EPOCH) + fraction
end

-- Puts the contact off until `ms`, and notes why for whoever asks: `reason` is a code, `detail` a sentence or nil.
local function wait(contact, record, ms, reason, detail)
  if record.dnc then return move(contact, record, 'final', math.huge) end
  move(contact, record, 'deferred', ms)
  record.w = { y = reason, s = detail }
end

-- Waits only until it may be called: it was ready, and the backend shows it as pending.
local PUT_OFF = { window_closed = true, cap_attempts = true, cap_conversations = true, min_gap = true, abandon_cooloff = true }
local function is_put_off(record) return record.w ~= nil and PUT_OFF[record.w.y] == true end

-- Puts the contact in the line: at its own place, or before all priorities when a callback is due; one that is not due is
-- waited for. A contact that is never to be called again does not come back into the line.
local function to_ready(contact, record)
  local asked = owed(record)
  if record.dnc then
    move(contact, record, 'final', math.huge)
  elseif asked and asked.at > server_ms then
    wait(contact, record, asked.at + (ledger_ms - server_ms), 'callback')
  elseif asked and not asked.sk then
    move(contact, record, 'ready', order_of(11, asked.at, 0))
  else
    move(contact, record, 'ready', tonumber(record.o))
  end
end

local function count(set) return redis.call('ZCARD', set) end
local function is_active() return redis.call('HGET', campaign_key, 'status') == 'active' end

-- Writes the public hash from the ledger's own truth; never creates it for a campaign the ledger does not know.
local PUBLIC_TOTALS = { 'total_calls', 'answered_calls', 'no_answer', 'busy', 'failed', 'abandoned', 'machine' }
local function publish()
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
