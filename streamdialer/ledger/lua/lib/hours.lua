-- Calling hours per zone set, computed outside for this moment (`ledger/zone_hours.py`). The scripts do not
-- interpret the name of a zone set. All times are the server's ms.
-- They are the struct `Hours`. In a record, `z` is the contact's zone set.

local UNREADABLE = '?'
local function read_hours(raw) return raw ~= '' and cjson.decode(raw) or nil end

-- Returns the contact's opening, or nil when `hours` says nothing about it that is still valid. Without hours
-- every contact may be called at any time.
local function opening_of(hours, contact, record)
  if not hours then return {} end
  record.z = record.z or hours.contacts[contact]
  if record.z == UNREADABLE then return { problem = 'zone_unknown' } end
  local opening = record.z and hours.zones[record.z]
  local change_ms = opening and (opening.until_ms or opening.opens_ms)
  if change_ms and server_ms >= change_ms then return nil end
  record.dy = opening and opening.day
  return opening
end

-- Returns the earlier of two ends as text ('' or nil: no end).
local function earlier_end(until_text, until_ms)
  if not until_ms then return until_text end
  return until_text ~= '' and tonumber(until_text) <= until_ms and until_text or format_number(until_ms)
end

-- Returns the refusal that follows from an opening, or nil when it is open.
local function hours_refusal(opening)
  if opening.problem then return { reason = opening.problem, state = 'final', why = opening.problem } end
  if opening.opens_ms then
    local due_ms = opening.opens_ms + (ledger_ms - server_ms)
    return { reason = 'window_closed', state = 'deferred', due = due_ms, detail = opening.rule }
  end
end

-- Returns the contact's JSON as far as its zone set follows from it, without its id: cjson would change a long number.
-- The number of an open callback is added to the contact's own numbers.
local function with_callback_number(record, call)
  local callback = open_callback(record)
  if not callback or not callback.num then return call end
  local data = cjson.decode(call)
  local numbers = data.n or { data.phone_number }
  numbers[#numbers + 1] = callback.nn
  return cjson.encode({ timezone = data.timezone, region = data.region, n = numbers })
end

-- Returns what `hours` lacks for these contacts: {zones = {zone set -> true}, contacts = {contact without a
-- zone set -> JSON}}.
local function missing_hours_of(hours, contact_ids)
  local missing = { zones = {}, contacts = {} }
  for _, contact in ipairs(contact_ids) do
    local record = load_record(contact)
    if record and not opening_of(hours, contact, record) then
      if record.z then
        missing.zones[record.z] = true
      else
        missing.contacts[contact] = with_callback_number(record, redis.call('HGET', contacts, contact) or '{}')
      end
    end
  end
  return missing
end

-- Returns the same for `limit` contacts of `ready`, beginning at position `from`.
local function missing_hours_in_ready(hours, from, limit)
  return missing_hours_of(hours, redis.call('ZRANGE', ready, from, from + limit - 1))
end
