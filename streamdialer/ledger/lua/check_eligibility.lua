-- Says why a ready contact may not be called now, by the attempts and caps of the last claim. Changes
-- nothing.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 call history
-- ARGV campaign, contact, hours (lib/hours.lua; '' = the contact may be called at any time)
-- Returns JSON {reason, due_ms = until when, server's ms?, detail?}; {} when the contact may be called
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression hours call_history eligibility
local contact = ARGV[2]
local record = load_record(contact)
if not record then return '{}' end
local plan = redis.call('HGET', totals, 'retry')
local max_attempts = plan and cjson.decode(plan).max_attempts or math.huge
local opening = opening_of(read_hours(ARGV[3]), contact, record) or {}
local refusal = find_refusal(contact, record, max_attempts, KEYS[24], opening, KEYS[25], saved_caps())
if not refusal then return '{}' end
local due_ms = refusal.due and refusal.due - (ledger_ms - server_ms)
return cjson.encode({ reason = refusal.reason, due_ms = due_ms, detail = refusal.detail })
