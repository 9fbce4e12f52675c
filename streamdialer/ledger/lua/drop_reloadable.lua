-- First part of rebuilding a campaign after a data loss: forgets contacts of which the backend may know
-- better; they come back from the backend's lists, those that wait for a retry as well. These contacts stay: those
-- with a state the backend does not know yet or has refused, those with an open callback, and those deferred after
-- an end that the backend does not list as tried again.
-- KEYS 1–23 of the campaign, 24 contacts by number
-- ARGV campaign, state (ready | previewing | reserved | deferred), how many contacts of it to skip, most
--   contacts to examine, who rebuilds, for how long others wait for it ms
-- Returns {examined, stayed} (fewer examined than asked for: the state is done) · {-1, 0} the campaign has
--   been rebuilt, or another process rebuilds it
-- uses: clock spellings campaign rebuilding outbox phone_rotation retry stream_ids attempts suppression number_index
local state, from, batch = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local stored = redis.call('HMGET', server, 'rebuild_epoch', 'lost')
local epoch = stored[1]
if not epoch or redis.call('HGET', totals, 'rebuilt') == epoch then return { -1, 0 } end
if not hold_rebuild(ARGV[5], tonumber(ARGV[6])) then return { -1, 0 } end
local lost_ms = tonumber(stored[2] or 0)

-- On the first call: of the calls that are up, which are few, the backend may know that they ended.
if state == 'ready' and from == 0 then
  for _, set in ipairs({ dialing, connected, orphaned }) do
    for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      local record = load_record(contact)
      local attempt = record.h[#record.h]
      if attempt.sm < lost_ms and not record.rf and redis.call('HEXISTS', outbox, contact) == 0 then
        attempt.g = epoch
        save_record(contact, record)
      end
    end
  end
end

local LISTED_AS_DUE = { no_answer = true, busy = true, failed = true }
local function is_reloadable(contact, record)
  if redis.call('HEXISTS', outbox, contact) == 1 or record.rf or open_callback(record) then return false end
  local last = record.h and record.h[#record.h]
  if state == 'reserved' then return last.rm < lost_ms end
  if state == 'ready' or state == 'previewing' or is_deferred_by_rule(record) then return true end
  return LISTED_AS_DUE[last and last.d or record.rs] or false
end
local examined, stayed = redis.call('ZRANGE', states[state], from, from + batch - 1), 0
for _, contact in ipairs(examined) do
  local record = load_record(contact)
  local is_here = is_in_state(state, contact, record)
  if is_here and is_reloadable(contact, record) then
    if record.of then end_offer(contact, record, 'data_loss') end
    unindex_numbers(KEYS[24], contact, record)
    redis.call('ZREM', states[state], contact)
    forget_contact(contact, record)
  elseif is_here then
    stayed = stayed + 1
  end
end
write_public_hash()
return { #examined, stayed }
