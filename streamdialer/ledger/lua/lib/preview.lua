-- What the scripts of preview mode share: which agent is offered which contact, and what agents' programs
-- read about it.

local PREVIEWS_MAXLEN = 1000
-- Appends an entry for agents' programs; `data` is JSON.
local function notify_agent(previews, kind, agent, contact, request, data)
  redis.call('XADD', previews, 'MAXLEN', '~', PREVIEWS_MAXLEN, '*', 'type', kind,
    'campaign_id', plain_id(campaign), 'agent_id', plain_id(agent), 'contact_id', plain_id(contact),
    'request', request, 'data', data)
end

-- Notifies the agents whose offer has ended without their answer.
local function notify_ended_offers(previews)
  local raw = redis.call('HGET', totals, 'offers_ended')
  if not raw then return end
  for _, ended in ipairs(cjson.decode(raw)) do
    notify_agent(previews, 'preview_expired', ended[1], ended[2], ended[3], cjson.encode({ reason = ended[4] }))
  end
  redis.call('HDEL', totals, 'offers_ended')
end

-- Returns the contact offered to the agent and its record, or nil. There are never more offers than agents.
local function offer_of(agent)
  for _, contact in ipairs(redis.call('ZRANGEBYSCORE', previewing, '(' .. format_number(ledger_ms), '+inf')) do
    local record = load_record(contact)
    if record and record.of and record.of.ag == agent then return contact, record end
  end
end

-- Returns the contact an agent's answer is about ('' = the one offered), its record, and nil or the reason
-- why the answer does not count. An answer written before the offer was requested belongs to an older
-- offer.
local function answered_offer(agent, contact, entry)
  local offered, record = offer_of(agent)
  if not offered then return contact, nil, 'no_offer' end
  if contact ~= '' and contact ~= offered then return contact, nil, 'not_offered' end
  if not is_id_after(entry, record.of.e) and not is_outdated(record.of.e) then return offered, nil, 'older_offer' end
  return offered, record, nil
end
