-- First part of rebuilding a campaign after memory was lost: contacts that wait here to be called, for their turn or for their
-- calling hours or caps, and of whom the backend may know better, are forgotten; they come back from the backend's lists. Whoever
-- has news for the backend stays, and so does whoever waits for a callback, or for a retry the backend's list of due contacts
-- would not show.
-- KEYS 1–20 of the campaign, 21 contacts by number
-- ARGV campaign, place (ready | offered | reserved | waiting), how many of it to pass over, batch
-- Returns {looked at, kept} (looked at < batch: the place is done) · {-1, 0} the campaign has been rebuilt
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index
local state, from, batch = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local memory = redis.call('HMGET', server, 'rebuild_epoch', 'lost')
if not memory[1] or redis.call('HGET', totals, 'rebuilt') == memory[1] then return { -1, 0 } end
local lost_ms = tonumber(memory[2] or 0)

if state == 'ready' and from == 0 then -- live calls, of which there are few: the backend may know that they are over
  for _, set in ipairs({ dialing, connected, orphaned }) do
    for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      local record = load_record(contact)
      local attempt = record.h[#record.h]
      if attempt.sm < lost_ms and redis.call('HEXISTS', outbox, contact) == 0 then
        attempt.g = memory[1]
        save_record(contact, record)
      end
    end
  end
end

local LISTED = { no_answer = true, busy = true }
local function may_go(contact, record)
  if redis.call('HEXISTS', outbox, contact) == 1 or owed(record) then return false end
  local last = record.h and record.h[#record.h]
  if state == 'reserved' then return last.rm < lost_ms end
  if state == 'ready' or state == 'previewing' or is_put_off(record) then return true end
  return last and last.d and LISTED[last.d] or false
end
local looked, stored = redis.call('ZRANGE', states[state], from, from + batch - 1), 0
for _, contact in ipairs(looked) do
  local record = load_record(contact)
  if may_go(contact, record) then
    if record.of then end_offer(contact, record, 'data_loss') end
    forget_numbers(KEYS[21], contact, record)
    redis.call('ZREM', states[state], contact)
    forget(contact, record)
  else
    stored = stored + 1
  end
end
publish()
return { #looked, stored }
