-- Offers an agent of a preview campaign one contact that may be called: the one offered already, else the
-- next ready one. No other agent is offered this contact until the offer ends.
-- KEYS 1–23 of the campaign, 24 stored answer to this request, 25 previews, 26 api, 27 do-not-call list, 28
--   call history, 29 campaign's agent callbacks
-- ARGV campaign, JSON:
--   agent
--   entry               id of the request's entry in `events`
--   offer_ms            how long the agent has to answer
--   batch               most contacts to examine
--   and as in reserve_contacts.lua: open_until, hours?, caps, max_attempts, max_age_ms, events_required,
--   deadline_ms
-- Returns {"offered", contact id ('' = none, and an entry in previews says why: "none" or what forbids
--   calls)} · {"ask", JSON {missing?, stale?, ledger_ms, server_ms}}: the next contacts need hours that were
--   not passed, or verification by the backend, or there are more contacts to examine; ask again
-- uses: clock data_loss spellings campaign outbox phone_rotation retry stream_ids attempts suppression hours call_history registries campaign_gate eligibility agent_callback_order callback ids preview
local stored_answer, previews, api, dnc_list, call_history, agent_callbacks = unpack(KEYS, 24, 29)
local request = cjson.decode(ARGV[2])
local agent, entry, hours = request.agent, request.entry, request.hours
local offer_ms, batch = request.offer_ms, request.batch
local stored = redis.call('GET', stored_answer)
if stored then return { 'offered', stored } end

local function reply(contact)
  redis.call('SET', stored_answer, contact, 'PX', 2 * offer_ms) -- a request delivered later than that is too old
  write_public_hash()
  return { 'offered', contact }
end

local function offer(contact, record)
  local ends = tonumber(redis.call('ZSCORE', previewing, contact))
  local callback = open_callback(record)
  local more = { attempts = record.a, expires_at = iso(ends - (ledger_ms - server_ms)) }
  if callback then more.callback_at, more.callback_number = iso(callback.at), callback.num end
  local call = redis.call('HGET', contacts, contact) -- added to as text: cjson would change numbers and empty lists
  notify_agent(previews, 'preview_offered', agent, contact, entry,
    string.sub(call, 1, -2) .. ',' .. string.sub(cjson.encode(more), 2))
  return reply(contact)
end

-- Contacts loaded before the campaign was in preview mode lack what an agent is shown. The backend is asked,
-- as for stale ones.
local function has_custom_data(contact)
  return string.find(redis.call('HGET', contacts, contact), '"custom_data"', 1, true) ~= nil
end

local function ask(what)
  what.ledger_ms, what.server_ms = ledger_ms, server_ms
  return { 'ask', cjson.encode(what) }
end

local function offer_none(reason)
  notify_agent(previews, 'preview_none', agent, '', entry, cjson.encode({ reason = reason }))
  return reply('')
end

local gate = check_gate(api, request.open_until, request.events_required, request.deadline_ms)
if gate.closed then return offer_none(gate.closed) end
if written_at(entry, ledger_ms, server_ms) < ledger_ms - offer_ms then return offer_none('late') end
local offered, record = offer_of(agent)
if offered then return offer(offered, record) end

local caps = save_caps(call_history, request.caps)
if outdated_registry(caps) then return offer_none('registry_outdated') end
if has_set_aside(agent_callbacks) then bring_back(agent_callbacks, { agent }, batch, function() return true end) end
local examined, unverified, stale, is_more = 0, 0, {}, false
while examined < batch do
  local contact, order = unpack(redis.call('ZRANGE', ready, unverified, unverified, 'WITHSCORES'))
  if not contact or tonumber(order) >= SET_ASIDE_FROM then break end
  examined, record = examined + 1, load_record(contact)
  local is_ready = is_in_state('ready', contact, record)
  local opening = is_ready and opening_of(hours, contact, record)
  if is_ready and not opening then return ask({ missing = missing_hours_in_ready(hours, unverified, batch) }) end
  local refusal = is_ready
    and find_refusal(contact, record, request.max_attempts, dnc_list, opening, call_history, caps)
  local only_agent = is_ready and callback_agent(record)
  if not is_ready then
    is_more = examined == batch
  elseif refusal then
    apply_refusal(contact, record, refusal)
  elseif only_agent and only_agent ~= agent then
    set_aside(agent_callbacks, contact, record)
    is_more = examined == batch
  elseif needs_verification(contact, record, request.max_age_ms) or not has_custom_data(contact) then
    unverified = unverified + 1
    if redis.call('HEXISTS', outbox, contact) == 0 and #stale < 20 then stale[#stale + 1] = contact end
  else
    set_state(contact, record, 'previewing', ledger_ms + offer_ms)
    record.of = { ag = agent, e = entry }
    save_record(contact, record)
    return offer(contact, record)
  end
end
if #stale > 0 or is_more then return ask({ stale = #stale > 0 and stale or nil }) end
return offer_none('no_contacts')
