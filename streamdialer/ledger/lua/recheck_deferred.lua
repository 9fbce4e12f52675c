-- After a change of calling hours or caps, checks contacts again that these have deferred: one that may be
-- called now is ready at once, another is deferred for as long as the new rules say. One call checks a batch.
-- `deferred` is read twice, because contacts move while others become ready. The totals' field `recheck` is
-- 'position reading', missing when the check is complete.
-- KEYS 1–23 of the campaign, 24 call history
-- ARGV campaign, batch, hours (lib/hours.lua; '' = contacts may be called at any time)
-- Returns {contacts that are ready now, 1 when there are more to check}
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression hours call_history eligibility
local call_history, batch, hours = KEYS[24], tonumber(ARGV[2]), read_hours(ARGV[3])
local from, reading = string.match(redis.call('HGET', totals, 'recheck') or '', '^(%d+) (%d+)$')
if not from then return { 0, 0 } end
from = tonumber(from)
local caps, made_ready = saved_caps(), 0
local examined = redis.call('ZRANGE', deferred, from, from + batch - 1, 'WITHSCORES')
for i = 1, #examined, 2 do
  local contact, record = examined[i], load_record(examined[i])
  if is_in_state('deferred', contact, record) and is_deferred_by_rule(record) then
    local opening = opening_of(hours, contact, record)
    -- Without an opening the contact becomes ready: the claim asks for the hours.
    local refusal = opening and (hours_refusal(opening) or cap_refusal(call_history, caps, contact, record))
    if refusal then
      apply_refusal(contact, record, refusal)
    else
      make_ready(contact, record)
      save_record(contact, record)
      made_ready = made_ready + 1
    end
  end
end
if #examined == 2 * batch then
  local stayed, last = 0, tonumber(examined[#examined])
  for i = 1, #examined, 2 do
    local due_ms = redis.call('ZSCORE', deferred, examined[i])
    if due_ms and tonumber(due_ms) <= last then stayed = stayed + 1 end
  end
  redis.call('HSET', totals, 'recheck', from + stayed .. ' ' .. reading)
elseif reading == '1' then
  redis.call('HSET', totals, 'recheck', '0 2')
else
  redis.call('HDEL', totals, 'recheck')
end
write_public_hash()
return { made_ready, redis.call('HEXISTS', totals, 'recheck') }
