-- An agent takes the contact shown to them: it is reserved and its call appended to `calls`, as a claim would. What forbids a
-- claim forbids this; then the offer stays until it ends, and previews say why.
-- KEYS 1–20 of the campaign, 21 calls, 22 previews, 23 api, 24 numbers not to be called, 25 recent calls, 26 trunks, then
--   reserved, unanswered and connected of each other campaign on the trunk
-- ARGV campaign, JSON {agent, contact ('' = the one shown), entry = id of the answer's entry, open_until = ms, '' = no end,
--   max_attempts, plan = retry plan JSON, most_live = max concurrent calls, lease_ms, events_required, deadline_ms = after
--   sending, hours? = of each zone set (none: any), caps = JSON, '' = none, pace, trace =
--   `traceparent`, '' = none}
-- Returns {"answered", "reserved" (the same entry again as well) or why not} · {"ask", JSON {missing?, trunk_changed?, now, wall}}: the
--   contact needs hours that were not passed, or the campaigns on the trunk are not those passed; ask again
-- uses: clock data_loss campaign outbox phone_rotation retry attempts suppression hours call_history rate_limit campaign_gate eligibility reserve preview
local calls, previews, api, listed, recent, trunks = unpack(KEYS, 21, 26)
local wanted = cjson.decode(ARGV[2])
local agent, entry, hours = wanted.agent, wanted.entry, wanted.hours

local maybe = wanted.contact ~= '' and { wanted.contact } or {}
for _, set in ipairs(wanted.contact == '' and { reserved, dialing, connected } or {}) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do maybe[#maybe + 1] = contact end
end
for _, contact in ipairs(maybe) do
  local known = load_record(contact)
  for _, attempt in ipairs(known and known.h or {}) do
    if attempt.t == entry then return { 'answered', 'reserved' } end
  end
end

local pace = look_at_pace(trunks, wanted.pace, 27)
if pace.is_changed then return { 'ask', cjson.encode({ trunk_changed = true, ledger_ms = ledger_ms, server_ms = server_ms }) } end
local gate = look_at_gate(api, wanted.open_until, wanted.events_required, wanted.deadline_ms)
local contact, record, why_not = answered_offer(agent, wanted.contact, entry)
local caps, opening = keep_caps(recent, wanted.caps), nil
if not why_not then
  opening = opening_of(hours, contact, record)
  if not opening then
    return { 'ask', cjson.encode({ missing = missing_hours_of(hours, { contact }), ledger_ms = ledger_ms, server_ms = server_ms }) }
  end
  local refused = refusal(contact, record, wanted.max_attempts, listed, opening, recent, caps)
  if refused then
    record.of = nil
    pass_over(contact, record, refused)
  end
  local live = count(reserved) + count(dialing) + count(connected)
  why_not = refused and refused.reason or gate.closed or live >= wanted.most_live and 'concurrency'
    or pace.lines < 1 and 'trunk_channels' or pace.calls < 1 and 'calls_per_second' or nil
end
if why_not then
  tell_agent(previews, 'preview_refused', agent, contact, entry, cjson.encode({ reason = why_not }))
else
  keep_plan(wanted.plan)
  local terms = { calls = calls, lease_ms = wanted.lease_ms, deadline_ms = wanted.deadline_ms, trace = wanted.trace }
  reserve(contact, record, terms, earlier(wanted.open_until, opening.u), entry, agent)
  if gate.is_probe then redis.call('HSET', api, 'probed', ledger_ms) end
  take_pace(pace, 1)
end
publish()
return { 'answered', why_not or 'reserved' }
