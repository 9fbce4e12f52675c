-- Reserves a contact for one attempt and appends its call to `calls`: no call comes from anywhere else.
-- terms: {calls = the stream, open_until ('' = no end), lease_ms, max_attempts, retry_delay_ms, deadline_ms}

-- `mark` names the reservation, `agent` whom the call is for (nil = anyone). Saves the record.
local function reserve(contact, record, terms, mark, agent)
  local asked = owed(record)
  record.h = record.h or {}
  local last = record.h[#record.h]
  if last and last.s == 'released' then table.remove(record.h) end
  while #record.h >= 8 do
    local forgotten = table.remove(record.h, 1)
    if record.cb and forgotten.cb == record.cb.e then record.cb.had = true end
  end
  local number = record.a + 1
  record.h[#record.h + 1] = {
    n = number, id = campaign .. ':' .. contact .. ':' .. number, t = mark, s = 'reserved', f = {}, rm = now,
    mr = math.max(terms.max_attempts, number), -- beyond them only for a callback: `refusal` has seen to it
    rd = terms.retry_delay_ms, dd = terms.deadline_ms, cb = asked and asked.e or nil, ag = agent,
  }
  move(contact, record, 'reserved', now + terms.lease_ms)
  save_record(contact, record)
  redis.call('XADD', terms.calls, '*', 'campaign', campaign, 'contact', contact, 'number', number, 'token', mark,
    'until', terms.open_until, 'call', redis.call('HGET', contacts, contact),
    'phone_number', asked and asked.num or '', 'agent', agent or '')
end
