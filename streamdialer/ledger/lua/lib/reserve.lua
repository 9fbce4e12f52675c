-- Reserves a contact for one attempt and appends its call to `calls`: no call comes from anywhere else.
-- terms: {calls = the stream, lease_ms, deadline_ms, trace = `traceparent` of whoever reserves ('' = none)}

-- `open_until` is the last instant of the call ('' = no end), `mark` names the reservation, `agent` is whom the call is for
-- (nil = anyone). Saves the record.
local function reserve(contact, record, terms, open_until, mark, agent)
  local asked = owed(record)
  record.h = record.h or {}
  local last = record.h[#record.h]
  if last and last.s == 'released' then table.remove(record.h) end
  while #record.h >= 8 do
    local orphaned = table.remove(record.h, 1)
    if record.cb and orphaned.cb == record.cb.e then record.cb.had = true end
  end
  local number = next_number(record)
  local call = redis.call('HGET', contacts, contact)
  local which, phone_number
  if asked and asked.num then
    which, phone_number, record.z = 0, asked.num, nil -- its next call is to its own numbers, in their zones
  else
    which, phone_number = choose_number(record, call)
  end
  record.h[#record.h + 1] = {
    n = number, id = campaign .. ':' .. contact .. ':' .. number, t = mark, s = 'reserved', f = {}, rm = ledger_ms,
    p = past_of(record), dd = terms.deadline_ms, ph = which, cb = asked and asked.e or nil, ag = agent,
    to = asked and asked.nn or nil,
  }
  move(contact, record, 'reserved', ledger_ms + terms.lease_ms)
  save_record(contact, record)
  local entry = {
    'campaign', campaign, 'contact', contact, 'number', number, 'token', mark, 'until', open_until, 'call', call,
  }
  local function add(name, value)
    if value then entry[#entry + 1], entry[#entry + 2] = name, value end
  end
  add('phone', which)
  add('phone_number', phone_number)
  add('agent', agent)
  add('traceparent', terms.trace ~= '' and terms.trace)
  redis.call('XADD', terms.calls, '*', unpack(entry))
end
