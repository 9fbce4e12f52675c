-- Ends a preview offer that an agent skips: the contact is ready again, behind the others of its priority,
-- also for a callback.
-- KEYS 1–23 of the campaign, 24 previews
-- ARGV campaign, agent, contact ('' = the one offered), id of the answer's entry, the agent's reason
-- Returns "skipped" · "no_offer" · "not_offered" · "older_offer"
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts ids preview
local agent, entry, reason = ARGV[2], ARGV[4], ARGV[5]
local contact, record, why_not = answered_offer(agent, ARGV[3], entry)
if why_not then return why_not end
record.of = nil
record.o = format_number(ready_order(record.pr, ledger_ms, 0))
if open_callback(record) then record.cb.sk = true end
make_ready(contact, record)
save_record(contact, record)
notify_agent(KEYS[24], 'preview_skipped', agent, contact, entry, cjson.encode({ reason = reason }))
write_public_hash()
return 'skipped'
