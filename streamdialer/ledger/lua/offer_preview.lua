-- Shows an agent of a preview campaign one contact that may be called: the one shown already, else the next in the line. No
-- other agent is shown it until the offer ends.
-- KEYS 1–20 of the campaign, 21 answer to this request, 22 previews, 23 api, 24 numbers not to be called, 25 recent calls,
--   26 callbacks kept for agents
-- ARGV campaign, JSON {agent, entry = id of the request's entry, open_until = ms, '' = no end, max_attempts, events_required,
--   deadline_ms = after sending, offer_ms, batch, max_age_ms = after which a ready contact is looked up, hours? = of each zone set
--   (none: any), caps = JSON, '' = none}
-- Returns {"offered", the contact's id, '' = previews say why not: "none", or what forbids calls} · {"ask", JSON {missing?, stale?,
--   now, wall}}: the next contacts need hours that were not passed, or are to be looked up first, or the line goes on: ask again
-- uses: clock data_loss campaign outbox phone_rotation retry attempts suppression hours call_history campaign_gate eligibility agent_callback_order callback preview
local given_answer, previews, api, listed, call_history, agent_callbacks = unpack(KEYS, 21, 26)
local wanted = cjson.decode(ARGV[2])
local agent, entry, offer_ms, batch, hours = wanted.agent, wanted.entry, wanted.offer_ms, wanted.batch, wanted.hours
local given = redis.call('GET', given_answer)
if given then return { 'offered', given } end

local function reply(contact)
  redis.call('SET', given_answer, contact, 'PX', 2 * offer_ms) -- a request delivered later than that is too old
  publish()
  return { 'offered', contact }
end

local function show(contact, record)
  local ends = tonumber(redis.call('ZSCORE', previewing, contact))
  local asked, more = owed(record), { attempts = record.a, expires_at = iso(ends - (ledger_ms - server_ms)) }
  if asked then more.callback_at, more.callback_number = iso(asked.at), asked.num end
  local call = redis.call('HGET', contacts, contact) -- as it is: cjson would change numbers and empty lists
  tell_agent(previews, 'preview_offered', agent, contact, entry,
    string.sub(call, 1, -2) .. ',' .. string.sub(cjson.encode(more), 2))
  return reply(contact)
end

-- Contacts that were loaded before the campaign was in preview have none; then the backend is asked, as for stale ones.
local function has_what_is_shown(contact)
  return string.find(redis.call('HGET', contacts, contact), '"custom_data"', 1, true) ~= nil
end

local function none(reason)
  tell_agent(previews, 'preview_none', agent, '', entry, cjson.encode({ reason = reason }))
  return reply('')
end

local gate = look_at_gate(api, wanted.open_until, wanted.events_required, wanted.deadline_ms)
if gate.closed then return none(gate.closed) end
if written_at(entry, ledger_ms, server_ms) < ledger_ms - offer_ms then return none('late') end
local shown, record = offer_of(agent)
if shown then return show(shown, record) end

local caps = keep_caps(call_history, wanted.caps)
if is_to_bring_back(agent_callbacks) then bring_back(agent_callbacks, { agent }, batch, function() return true end) end
local looked, needs_verification, stale, goes_on = 0, 0, {}, false
while looked < batch do
  local contact, order = unpack(redis.call('ZRANGE', ready, needs_verification, needs_verification, 'WITHSCORES'))
  if not contact or tonumber(order) >= KEPT_FROM then break end
  looked, record = looked + 1, load_record(contact)
  local opening = opening_of(hours, contact, record)
  if not opening then
    return { 'ask', cjson.encode({ missing = missing_hours(hours, needs_verification, batch), ledger_ms = ledger_ms, server_ms = server_ms }) }
  end
  local refused, keeper = refusal(contact, record, wanted.max_attempts, listed, opening, call_history, caps), kept_for(record)
  if refused then
    pass_over(contact, record, refused)
  elseif keeper and keeper ~= agent then
    set_aside(agent_callbacks, contact, record)
    goes_on = looked == batch
  elseif is_stale(record, wanted.max_age_ms) or not has_what_is_shown(contact) then
    needs_verification = needs_verification + 1
    if redis.call('HEXISTS', outbox, contact) == 0 and #stale < 20 then stale[#stale + 1] = contact end
  else
    move(contact, record, 'previewing', ledger_ms + offer_ms)
    record.of = { ag = agent, e = entry }
    save_record(contact, record)
    return show(contact, record)
  end
end
if #stale > 0 or goes_on then
  return { 'ask', cjson.encode({ stale = #stale > 0 and stale or nil, ledger_ms = ledger_ms, server_ms = server_ms }) }
end
return none('no_contacts')
