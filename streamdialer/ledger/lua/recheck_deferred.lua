-- Looks again at contacts that were put off by calling hours or a cap, after the campaign's have changed: whoever may be called now
-- is ready at once, the others wait for as long as they have to now. So many of those that wait are looked at per call,
-- and all of them twice: they move while others are promoted.
-- KEYS 1–20 of the campaign, 21 recent calls
-- ARGV campaign, batch, hours of each zone set ('' = any)
-- Returns {how many are ready, is there more to look at (1)}
-- uses: clock campaign outbox phone_rotation retry attempts suppression hours call_history eligibility
local recent, batch, hours = KEYS[21], tonumber(ARGV[2]), read_hours(ARGV[3])
local from, reading = string.match(redis.call('HGET', totals, 'again') or '', '^(%d+) (%d+)$')
if not from then return { 0, 0 } end
from = tonumber(from)
local caps, brought = kept_caps(), 0
local looked = redis.call('ZRANGE', deferred, from, from + batch - 1, 'WITHSCORES')
for i = 1, #looked, 2 do
  local contact, record = looked[i], load_record(looked[i])
  if is_put_off(record) then
    local opening = opening_of(hours, contact, record)
    -- Hours that are not known here the claim asks for.
    local refused = opening and (closed_by(opening) or over_cap(recent, caps, contact, record))
    if refused then
      pass_over(contact, record, refused)
    else
      to_ready(contact, record)
      save_record(contact, record)
      brought = brought + 1
    end
  end
end
if #looked == 2 * batch then
  local stay, last = 0, tonumber(looked[#looked])
  for i = 1, #looked, 2 do
    local due_ms = redis.call('ZSCORE', deferred, looked[i])
    if due_ms and tonumber(due_ms) <= last then stay = stay + 1 end
  end
  redis.call('HSET', totals, 'again', from + stay .. ' ' .. reading)
elseif reading == '1' then
  redis.call('HSET', totals, 'again', '0 2')
else
  redis.call('HDEL', totals, 'again')
end
publish()
return { brought, redis.call('HEXISTS', totals, 'again') }
