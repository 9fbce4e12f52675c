-- Takes contacts out of the line that the backend no longer shows as pending: it knows better, and is told nothing. Not those
-- seen or told of since they were asked for, nor those the backend has not heard the newest of.
-- KEYS 1–20 of the campaign
-- ARGV campaign, when the first of them was asked for (ledger ms), tombstone ms, then the contacts
-- Returns how many of them are out of the line
-- uses: clock campaign
local asked, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local dropped = 0
for i = 4, #ARGV do
  local contact = ARGV[i]
  local record = load_record(contact)
  local is_judged = record and record.p == 'ready' and (record.sn or 0) < asked
  if is_judged and redis.call('HEXISTS', outbox, contact) == 0 then
    move(contact, record, 'final', ledger_ms + tombstone_ms)
    record.x = 1
    save_record(contact, record)
  end
  if record and record.x then dropped = dropped + 1 end
end
publish()
return dropped
