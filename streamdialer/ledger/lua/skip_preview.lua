-- An agent does not want the contact shown to them: it goes back, behind the others of its priority; a callback as well.
-- KEYS 1–20 of the campaign, 21 previews
-- ARGV campaign, agent, contact ('' = the one shown), id of the answer's entry, the agent's reason
-- Returns "skipped" · "no_offer" · "not_offered" · "older_offer"
-- uses: clock campaign outbox phone_rotation retry attempts preview
local agent, entry, reason = ARGV[2], ARGV[4], ARGV[5]
local contact, record, why_not = answered_offer(agent, ARGV[3], entry)
if why_not then return why_not end
record.of = nil
record.o = digits(order_of(record.pr, ledger_ms, 0))
if owed(record) then record.cb.sk = true end
to_ready(contact, record)
save_record(contact, record)
tell_agent(KEYS[21], 'preview_skipped', agent, contact, entry, cjson.encode({ reason = reason }))
publish()
return 'skipped'
