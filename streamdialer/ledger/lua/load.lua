-- Brings contacts from the backend into `ready`; whoever the ledger already knows is left as they are. Nothing is brought
-- for a campaign that is not registered (any more): nobody would ever remove it.
-- KEYS 1–20 of the campaign, 21 numbers not to be called, 22 requests, of contacts whose number was not known here, 23 contacts
--   by number
-- ARGV campaign, max attempts, tombstone ms, country of local numbers ('' = not known), then per contact: id, priority, attempts, JSON, problem ('' = can be called),
--   reset ('1' = the backend shows a status other than pending: tell it)
-- Returns JSON {added, known, invalid, used_up, suppressed}
-- uses: clock campaign outbox attempts suppression number_index
local max_attempts, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = { added = 0, known = 0, invalid = 0, used_up = 0, suppressed = 0 }
if redis.call('HEXISTS', directory, campaign) == 0 then return cjson.encode(answer) end
if ARGV[4] ~= '' then redis.call('HSET', totals, 'country', ARGV[4]) end
for i = 5, #ARGV, 6 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if redis.call('HEXISTS', records, contact) == 1 then
    answer.known = answer.known + 1
    if cjson.decode(ARGV[i + 3]).dnc then suppress(contact, load_record(contact)) end
  else
    local record = { a = attempts, o = digits(order_of(priority, now, ((i - 5) / 6 % 512) / 512)), pr = priority }
    know_contact(contact, record, ARGV[i + 3], KEYS[21], KEYS[22], KEYS[23])
    if record.dnc then
      answer.suppressed = answer.suppressed + 1
      move(contact, record, 'finished', math.huge)
      tell_backend(contact, 'do_not_call', nil, nil)
    elseif ARGV[i + 4] ~= '' then
      answer.invalid = answer.invalid + 1
      record.why = ARGV[i + 4]
      move(contact, record, 'finished', math.huge)
      tell_backend(contact, 'invalid', nil, nil)
    elseif attempts >= max_attempts then
      answer.used_up = answer.used_up + 1
      move(contact, record, 'finished', now + tombstone_ms)
    else
      answer.added = answer.added + 1
      redis.call('HSET', contacts, contact, ARGV[i + 3])
      to_ready(contact, record)
      if ARGV[i + 5] == '1' then tell_backend(contact, 'pending', nil, nil) end
    end
    save_record(contact, record)
  end
end
publish()
return cjson.encode(answer)
