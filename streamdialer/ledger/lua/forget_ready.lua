-- First part of rebuilding a campaign after memory was lost: contacts that wait here to be called, and of whom the backend
-- may know better, are forgotten; they come back from the backend's lists. Whoever has news for the backend stays, and
-- so does whoever waits for a retry the backend's list of due contacts would not show.
-- KEYS 1–20 of the campaign
-- ARGV campaign, batch
-- Returns how many were forgotten (0: none is left) · -1 the campaign has been rebuilt
-- uses: clock campaign attempts
local batch = tonumber(ARGV[2])
local memory = redis.call('HMGET', server, 'rebuild', 'lost')
if not memory[1] or redis.call('HGET', totals, 'rebuilt') == memory[1] then return -1 end
local lost_ms = tonumber(memory[2] or 0)
local LISTED = { no_answer = true, busy = true }
local function may_go(contact, record)
  if redis.call('HEXISTS', outbox, contact) == 1 then return false end
  local last = record.h and record.h[#record.h]
  if record.p == 'reserved' then return last.rm < lost_ms end
  return record.p == 'ready' or last and last.d and LISTED[last.d] or false
end
local forgotten = 0
for _, set in ipairs({ ready, reserved, waiting }) do
  for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    if forgotten >= batch then break end
    if may_go(contact, load_record(contact)) then
      redis.call('ZREM', set, contact)
      redis.call('HDEL', records, contact)
      redis.call('HDEL', contacts, contact)
      forgotten = forgotten + 1
    end
  end
end
publish()
return forgotten
