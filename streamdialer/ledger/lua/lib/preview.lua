-- What the scripts of preview mode share: whose offer is whose, and what the programs of the agents are told.

local PREVIEWS_KEPT = 1000
-- Tells the agents' programs; `data` is JSON.
local function tell_agent(previews, kind, agent, contact, request, data)
  redis.call('XADD', previews, 'MAXLEN', '~', PREVIEWS_KEPT, '*', 'type', kind, 'campaign_id', campaign,
    'agent_id', agent, 'contact_id', contact, 'request', request, 'data', data)
end

-- Tells whoever is shown a contact no more, without having answered.
local function tell_ended_offers(previews)
  local raw = redis.call('HGET', totals, 'offers_ended')
  if not raw then return end
  for _, ended in ipairs(cjson.decode(raw)) do
    tell_agent(previews, 'preview_expired', ended[1], ended[2], ended[3], cjson.encode({ reason = ended[4] }))
  end
  redis.call('HDEL', totals, 'offers_ended')
end

-- The contact shown to the agent and its record, nil when there is none. There are never more offers than agents.
local function offer_of(agent)
  for _, contact in ipairs(redis.call('ZRANGEBYSCORE', previewing, '(' .. digits(ledger_ms), '+inf')) do
    local record = load_record(contact)
    if record.of.ag == agent then return contact, record end
  end
end

-- The contact the agent speaks of ('' = the one shown to them), its record, and nil or why it is not theirs. An answer that
-- was written before the offer was asked for belongs to an older one.
local function answered_offer(agent, contact, entry)
  local shown, record = offer_of(agent)
  if not shown then return contact, nil, 'no_offer' end
  if contact ~= '' and contact ~= shown then return contact, nil, 'not_offered' end
  if not is_after(entry, record.of.e) then return shown, nil, 'older_offer' end
  return shown, record, nil
end
