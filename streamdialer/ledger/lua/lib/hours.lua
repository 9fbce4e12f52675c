-- Calling hours by zone set, decided outside for this moment (`ledger/hours.py`); what a zone set is called means nothing here.
-- Hours: {zones = {zone set -> {u = open until, ms?} | {o = opens, ms, s = which rule}}, contacts = {contact -> zone set}}, in
-- the server's own time. `record.z` is the contact's zone set; '?' could not be read, nil: nobody has looked yet.

local UNREADABLE = '?'
local function read_hours(raw) return raw ~= '' and cjson.decode(raw) or nil end

-- The contact's opening; nil when `hours` says nothing of it that still holds. Without hours everybody may be called.
local function opening_of(hours, contact, record)
  if not hours then return {} end
  record.z = record.z or hours.contacts[contact]
  if record.z == UNREADABLE then return { problem = 'zone_unknown' } end
  local opening = record.z and hours.zones[record.z]
  local edge = opening and (opening.u or opening.o)
  if edge and server_ms >= edge then return nil end
  return opening
end

-- The earlier of two ends ('' or nil = none), as text.
local function earlier(until_text, until_ms)
  if not until_ms then return until_text end
  return until_text ~= '' and tonumber(until_text) <= until_ms and until_text or digits(until_ms)
end

-- The refusal that follows from an opening, nil when it is open.
local function closed_by(opening)
  if opening.problem then return { reason = opening.problem, state = 'final', why = opening.problem } end
  if opening.o then
    return { reason = 'window_closed', state = 'deferred', due = opening.o + (ledger_ms - server_ms), detail = opening.s }
  end
end

-- The contact's JSON, among its numbers the one that a callback which is owed was asked for at.
local function with_asked_number(record, call)
  local asked = owed(record)
  if not asked or not asked.num then return call end
  local told = cjson.decode(call)
  local numbers = told.n or { told.phone_number }
  numbers[#numbers + 1] = asked.nn
  return cjson.encode({ id = told.id, timezone = told.timezone, n = numbers })
end

-- Of these contacts: zone sets `hours` lacks, and contacts whose zone set nobody has looked for, with their JSON.
local function missing_hours_of(hours, several)
  local missing = { zones = {}, contacts = {} }
  for _, contact in ipairs(several) do
    local record = load_record(contact)
    if not opening_of(hours, contact, record) then
      if record.z then
        missing.zones[record.z] = true
      else
        missing.contacts[contact] = with_asked_number(record, redis.call('HGET', contacts, contact) or '{}')
      end
    end
  end
  return missing
end

-- The same among `most` of `ready`, after `from`.
local function missing_hours(hours, from, most)
  return missing_hours_of(hours, redis.call('ZRANGE', ready, from, from + most - 1))
end
