-- Brings contacts from the backend into `ready`; whoever the ledger already knows is left as they are. Nothing is brought
-- for a campaign that is not registered (any more): nobody would ever remove it.
-- KEYS 1–20 of the campaign.
-- ARGV campaign, max attempts, tombstone ms, hours of each zone set ('' = any), then per contact: id, priority, attempts,
--   JSON, problem ('' = can be called), reset ('1' = the backend shows a status other than pending: tell it)
-- Returns JSON {added, known, invalid, used_up, refused (how many may not be called now, by reason)}
-- uses: clock campaign outbox hours refusal
local max_attempts, tombstone_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local hours = read_hours(ARGV[4])
local answer = { added = 0, known = 0, invalid = 0, used_up = 0, refused = {} }
if redis.call('HEXISTS', directory, campaign) == 0 then return cjson.encode(answer) end
for i = 5, #ARGV, 6 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if redis.call('HEXISTS', records, contact) == 1 then
    answer.known = answer.known + 1
  else
    local record = { a = attempts, o = digits(order_of(priority, now, ((i - 5) / 6 % 512) / 512)), pr = priority }
    if ARGV[i + 4] ~= '' then
      answer.invalid = answer.invalid + 1
      record.why = ARGV[i + 4]
      move(contact, record, 'finished', math.huge)
      tell_backend(contact, 'invalid', nil, nil)
    elseif attempts >= max_attempts then
      answer.used_up = answer.used_up + 1
      move(contact, record, 'finished', now + tombstone_ms)
    else
      redis.call('HSET', contacts, contact, ARGV[i + 3])
      local refused = closed_by(opening_of(hours, contact, record) or {}) -- what is not known here, the claim asks for
      if refused then
        answer.refused[refused.reason] = (answer.refused[refused.reason] or 0) + 1
        pass_over(contact, record, refused)
      else
        answer.added = answer.added + 1
        to_ready(contact, record)
      end
      if ARGV[i + 5] == '1' and record.p ~= 'finished' then tell_backend(contact, 'pending', nil, nil) end
    end
    save_record(contact, record)
  end
end
publish()
return cjson.encode(answer)
