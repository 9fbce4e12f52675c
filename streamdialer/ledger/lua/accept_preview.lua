-- Reserves the contact offered to an agent who accepts it, and appends its call to `calls`. What forbids a
-- claim forbids this as well (reserve_contacts.lua); then the offer stays until it ends, and an entry in
-- previews says why.
-- KEYS 1–23 of the campaign, 24 calls, 25 previews, 26 api, 27 do-not-call list, 28 call history, 29 trunks,
--   then reserved, dialing and connected of each other campaign on the trunk
-- ARGV campaign, JSON:
--   agent
--   contact             the contact accepted, '' = the one offered
--   entry               id of the answer's entry in `events`; also the token of the reservation
--   max_concurrent      most live calls of the campaign
--   and as in reserve_contacts.lua: open_until, hours?, caps, retry_plan, max_attempts, rate_limits, rules,
--   caller_id?, caller_ids?, caller_id_choice?, ring_ms?, on_machine?, lease_ms, max_age_ms, deadline_ms,
--   events_required, trace
-- Returns {"answered", "reserved" (also for the same entry again) or the reason why not} · {"ask", JSON
--   {missing?, stale?, trunk_changed?, ledger_ms, server_ms}}: the contact needs hours that were not passed, or
--   verification by the backend, or the trunk's members are out of date; ask again
-- uses: clock data_loss spellings campaign outbox phone_rotation retry stream_ids attempts suppression hours call_history registries rate_limit campaign_gate eligibility reserve ids preview caller_ids
local calls, previews, api, dnc_list, call_history, trunks = unpack(KEYS, 24, 29)
local request = cjson.decode(ARGV[2])
local agent, entry, hours = request.agent, request.entry, request.hours

-- Has this entry been handled before? Its token is in one of these records.
local candidates = request.contact ~= '' and { request.contact } or {}
for _, set in ipairs(request.contact == '' and { reserved, dialing, connected } or {}) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do candidates[#candidates + 1] = contact end
end
for _, contact in ipairs(candidates) do
  local record = load_record(contact)
  for _, attempt in ipairs(record and record.h or {}) do
    if attempt.t == entry then return { 'answered', 'reserved' } end
  end
end

local rate = check_rate(trunks, request.rate_limits, 30)
local function ask(what)
  what.ledger_ms, what.server_ms = ledger_ms, server_ms
  return { 'ask', cjson.encode(what) }
end
if rate.is_changed then return ask({ trunk_changed = true }) end
local gate = check_gate(api, request.open_until, request.events_required, request.deadline_ms)
local contact, record, why_not = answered_offer(agent, request.contact, entry)
local caps, opening = save_caps(call_history, request.caps), nil
if not why_not then
  opening = opening_of(hours, contact, record)
  if not opening then return ask({ missing = missing_hours_of(hours, { contact }) }) end
  local refusal = find_refusal(contact, record, request.max_attempts, dnc_list, opening, call_history, caps)
  if refusal then
    record.of = nil
    apply_refusal(contact, record, refusal)
  end
  local live = count(reserved) + count(dialing) + count(connected)
  why_not = refusal and refusal.reason or gate.closed or outdated_registry(caps) and 'registry_outdated'
    or live >= request.max_concurrent and 'concurrency' or rate.channels < 1 and 'trunk_channels' or rate.calls < 1 and 'calls_per_second'
    or redis.call('HEXISTS', calls_up, '@' .. agent) == 1 and 'agent_not_free' or nil
  if not why_not and needs_verification(contact, record, request.max_age_ms) then return ask({ stale = { contact } }) end
end
if why_not then
  notify_agent(previews, 'preview_refused', agent, contact, entry, cjson.encode({ reason = why_not }))
else
  save_plan(request.retry_plan)
  caller_ids.save(request.caller_ids)
  local terms = {
    open_until = request.open_until, rules = request.rules,
    calls = calls, lease_ms = request.lease_ms, deadline_ms = request.deadline_ms, trunk = request.rate_limits.trunk,
    caller_id = request.caller_id, caller_ids = request.caller_id_choice, ring_ms = request.ring_ms,
    on_machine = request.on_machine, trace = request.trace,
  }
  reserve_contact(contact, record, terms, opening, entry, agent)
  if gate.is_probe then redis.call('HSET', api, 'probed_until', ledger_ms + request.deadline_ms) end
  use_rate(rate, 1)
end
write_public_hash()
return { 'answered', why_not or 'reserved' }
