-- Reserves a contact for one attempt and appends its call to the stream `calls`. Every call is placed from
-- such an entry.
-- terms: {open_until = end of the campaign's calling window, server's ms ('' = none), rules = the rule pack and its version,
--   for contacts whose opening names none, calls = the stream, lease_ms, deadline_ms, trunk, caller_id, caller_ids,
--   ring_ms and on_machine of the calls (nil = none, or the setting's), trace = `traceparent` of the caller ('' = none)}

-- `opening` is the contact's (lib/hours.lua), `token` names the reservation, `agent` is whom the call is for (nil = any
-- agent). Saves the record.
local function reserve_contact(contact, record, terms, opening, token, agent)
  local open_until = earlier_end(terms.open_until, opening.until_ms)
  local callback = open_callback(record)
  record.h = record.h or {}
  local number = next_attempt_number(record)
  local last = record.h[#record.h]
  if last and last.s == 'released' then table.remove(record.h) end
  if last then last.al = nil end -- its outcome has it
  while #record.h >= 8 do
    local removed = table.remove(record.h, 1)
    if record.cb and removed.cb == record.cb.e then record.cb.had = true end
  end
  local call = redis.call('HGET', contacts, contact)
  local phone, phone_number
  if callback and callback.num then
    phone, phone_number, record.z = 0, callback.num, nil -- its next call is to its own numbers, in their zones
  else
    phone, phone_number = choose_phone(record, call)
  end
  local attempt_id = new_attempt_id(contact, number)
  record.h[#record.h + 1] = {
    n = number, id = attempt_id, t = token, s = 'reserved', f = {}, rm = ledger_ms,
    p = past_for_next(record), dd = terms.deadline_ms, ph = phone, cb = callback and callback.e or nil, ag = agent,
    to = callback and callback.nn or nil,
    al = (opening.law or terms.rules) .. (open_until ~= '' and '; until ' .. iso(tonumber(open_until)) or ''),
  }
  local entry = {
    'attempt', attempt_id, 'campaign', campaign, 'contact', contact, 'token', token, 'until', open_until, 'call', call,
  }
  local function add(name, value)
    if value then entry[#entry + 1], entry[#entry + 2] = name, value end
  end
  add('phone', phone)
  add('phone_number', phone_number)
  add('agent', agent)
  add('trunk', terms.trunk)
  add('caller_id', terms.caller_id)
  add('caller_ids', terms.caller_ids)
  add('ring_ms', terms.ring_ms)
  add('on_machine', terms.on_machine)
  add('traceparent', terms.trace ~= '' and terms.trace)
  redis.call('XADD', terms.calls, '*', unpack(entry)) -- first: where it has no place, nothing is reserved
  set_state(contact, record, 'reserved', ledger_ms + terms.lease_ms)
  save_record(contact, record)
end
