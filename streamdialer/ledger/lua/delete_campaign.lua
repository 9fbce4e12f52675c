-- Removes every key of an ended campaign, once no call is up and the backend knows everything. One call
-- removes a limited number of contacts, each with all its data: a campaign that is activated again meanwhile
-- keeps the others.
-- KEYS 1–23 of the campaign, 24 queue's campaigns, 25 queue's pacing, 26 tick slots, 27 api, 28 contacts by
--   number, 29 trunks, then the other keys to delete
-- ARGV campaign, most contacts to remove
-- Returns "ok" · "more" contacts are left, ask again · "unknown" · "not_finished" its status is not completed
--   or cancelled · "calls_live" · "updates_waiting" the backend does not know everything yet
-- uses: clock spellings campaign retry suppression number_index
local status = redis.call('HGET', campaign_key, 'status')
if redis.call('HEXISTS', directory, campaign) == 0 and not status then return 'unknown' end
if status and status ~= 'completed' and status ~= 'cancelled' then return 'not_finished' end
if count(reserved) + count(dialing) + count(connected) + count(orphaned) > 0 then return 'calls_live' end
if redis.call('HLEN', outbox) > 0 then return 'updates_waiting' end
local left = tonumber(ARGV[2])
for state, set in pairs(states) do
  for _, contact in ipairs(left > 0 and redis.call('ZRANGE', set, 0, left - 1) or {}) do
    local record = load_record(contact)
    if is_in_state(state, contact, record) then
      unindex_numbers(KEYS[28], contact, record)
      redis.call('ZREM', set, contact)
      forget_contact(contact, record)
    end
    left = left - 1
  end
end
if left == 0 then return 'more' end
redis.call('DEL', unpack(KEYS, 1, 11))
redis.call('UNLINK', orphaned, previewing, unpack(KEYS, 30)) -- `refused` may be large
redis.call('ZREM', sweep_schedule, campaign)
redis.call('HDEL', waiting_ticks, campaign)
redis.call('HDEL', directory, campaign)
redis.call('ZREM', KEYS[24], campaign)
redis.call('HDEL', KEYS[25], campaign)
for _, kind in ipairs({ 'dial', 'retry', 'stats', 'cleanup' }) do
  redis.call('HDEL', KEYS[26], kind .. ':' .. campaign)
end
redis.call('HDEL', KEYS[27], 'c:' .. campaign)
redis.call('HDEL', KEYS[29], 'c:' .. campaign)
return 'ok'
