-- What keeps a contact in the line from being called at this instant, with the attempts and caps of the last claim; nothing changes.
-- KEYS 1–20 of the campaign, 21 numbers not to be called, 22 recent calls
-- ARGV campaign, contact, hours of each zone set ('' = any)
-- Returns JSON {reason, due? (server's ms), detail?}; {} nothing does
-- uses: clock campaign outbox phone_rotation retry attempts suppression hours call_history eligibility
local contact = ARGV[2]
local record = load_record(contact)
if not record then return '{}' end
local plan = redis.call('HGET', totals, 'retry')
local most = plan and cjson.decode(plan).m or math.huge
local opening = opening_of(read_hours(ARGV[3]), contact, record) or {}
local refused = refusal(contact, record, most, KEYS[21], opening, KEYS[22], kept_caps())
if not refused then return '{}' end
return cjson.encode({ reason = refused.reason, due = refused.due and refused.due - (ledger_ms - server_ms), detail = refused.detail })
