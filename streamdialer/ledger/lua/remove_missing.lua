-- Makes ready contacts final that the backend no longer lists as pending. The backend knows why, so it gets
-- no update. Contacts stay that the backend has listed or got a state for since it was asked, and those with
-- a state it does not know yet.
-- KEYS 1–23 of the campaign
-- ARGV campaign, when the backend was asked for the first of them (ledger ms), how long a final contact is
--   kept ms, then the contacts
-- Returns how many of the contacts are final for this reason
-- uses: clock spellings campaign
local asked_ms, final_ttl_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local removed = 0
for i = 4, #ARGV do
  local contact = ARGV[i]
  local record = load_record(contact)
  local is_in_line = record and (record.p == 'ready' or record.p == 'previewing')
  local is_missing = is_in_line and (record.sn or 0) < asked_ms
  if is_missing and redis.call('HEXISTS', outbox, contact) == 0 then
    set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
    record.x, record.cf = 1, ledger_ms
    save_record(contact, record)
  end
  if record and record.x then removed = removed + 1 end
end
write_public_hash()
return removed
