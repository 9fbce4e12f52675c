-- Does what has become due in one campaign: leases, offers, deadlines, retries, tombstones, calls no cap counts any more. At most `batch` of each.
-- KEYS 1–20 of the campaign, 21 contacts by number, 22 previews, 23 recent calls, 24 their newest
-- ARGV campaign, batch, events required ('1'), longest conversation ms, deadline after sending ms
-- Returns JSON {released, unwanted, expired, closed, doubted, promoted, forgotten, stalled, wake, attempts = ids of those
--   that expired, were closed or are held in doubt?}
-- uses: clock data_loss campaign outbox phone_rotation retry attempts suppression number_index preview call_history
local batch, events_required, max_call_ms, deadline_ms =
  tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local answer = {
  released = 0, unwanted = 0, expired = 0, closed = 0, doubted = 0, promoted = 0, forgotten = 0, stalled = 0, wake = false,
}
local is_quiet = memory_trouble(server, ledger_ms, deadline_ms) ~= nil
local lost_ms = tonumber(redis.call('HGET', server, 'lost') or 0)
local function is_due(set) return redis.call('ZRANGEBYSCORE', set, '-inf', ledger_ms, 'WITHSCORES', 'LIMIT', 0, batch) end

local list = is_due(reserved)
for i = 1, #list, 2 do
  unreserve(list[i], load_record(list[i]))
  answer.released = answer.released + 1
end

list = is_due(previewing)
for i = 1, #list, 2 do
  local contact, record = list[i], load_record(list[i])
  end_offer(contact, record, 'no_answer')
  record.of = nil
  to_ready(contact, record)
  save_record(contact, record)
  answer.unwanted = answer.unwanted + 1
end
tell_ended_offers(KEYS[22])

-- The oldest event that is unread and may speak of a call, nil without any. Requests for callbacks do not, and may wait there for
-- the backend, however long it is away; among more than are looked at, the newest looked at stands for the rest.
local UNREAD_LOOKED_AT, oldest_unread = 500, nil
local function oldest_unread_event()
  if oldest_unread == nil then
    oldest_unread = false
    local unread = redis.call('XRANGE', events, '-', '+', 'COUNT', UNREAD_LOOKED_AT)
    for position, entry in ipairs(unread) do
      local fields, is_callback = entry[2], false
      for i = 1, #fields, 2 do is_callback = is_callback or fields[i] == 'type' and fields[i + 1] == 'callback_requested' end
      if not is_callback or position == UNREAD_LOOKED_AT then
        oldest_unread = entry[1]
        break
      end
    end
  end
  return oldest_unread
end

-- Its deadline may end the attempt: others speak, and no event that had been written by then is still unread.
local function silence_means_something(contact, record, attempt)
  if not events_required then return true end
  if not others_speak(attempt) then return false end
  if not attempt.dp then
    attempt.dp = newest_event()
    save_record(contact, record)
  end
  local oldest = oldest_unread_event()
  return not oldest or is_after(oldest, attempt.dp)
end

local function end_by_deadline(set, fact, tally)
  local overdue = is_due(set)
  for i = 1, #overdue, 2 do
    local contact, record = overdue[i], load_record(overdue[i])
    local attempt = record.h[#record.h]
    local learnt, counted = fact, tally
    if set == dialing and attempt.sm < lost_ms then learnt, counted = 'u', 'doubted' end -- its news may be lost
    if learnt == 'u' or silence_means_something(contact, record, attempt) then
      local before = adds(attempt)
      attempt.f[learnt] = 1
      draw_consequences(contact, record, #record.h, before, max_call_ms)
      count_call(KEYS[23], KEYS[24], contact, record, attempt)
      save_record(contact, record)
      answer[counted] = answer[counted] + 1
      answer.attempts = answer.attempts or {}
      answer.attempts[#answer.attempts + 1] = attempt.id
    else
      answer.stalled = answer.stalled + 1
    end
  end
end
if not is_quiet then -- events that were lost are told again now, or not at all: nothing is concluded meanwhile
  end_by_deadline(dialing, 'dl', 'expired')
  end_by_deadline(connected, 'mx', 'closed')
  end_by_deadline(orphaned, 'dl', 'expired')
end

-- Until the campaign is rebuilt, the backend may know better than to call them again.
local mark = redis.call('HGET', server, 'rebuild_epoch') or ''
local is_rebuilt = not is_quiet and (mark == '' or redis.call('HGET', totals, 'rebuilt') == mark)
list = is_rebuilt and is_due(deferred) or {}
for i = 1, #list, 2 do
  local contact, record = list[i], load_record(list[i])
  local has_kept_its_place = is_put_off(record)
  if not has_kept_its_place then
    record.o, record.sn = digits(order_of(record.pr, tonumber(list[i + 1]), 0)), ledger_ms
  end
  to_ready(contact, record)
  save_record(contact, record)
  if not has_kept_its_place then tell_backend(contact, status_of(record), record.a, nil) end
  answer.promoted = answer.promoted + 1
end

list = is_due(final)
for i = 1, #list, 2 do
  local contact, record = list[i], load_record(list[i])
  if redis.call('HEXISTS', outbox, contact) == 1 then
    redis.call('ZADD', final, 'inf', contact) -- brought back now, it would be called while the backend is told its end
  else
    forget_numbers(KEYS[21], contact, record)
    redis.call('ZREM', final, contact)
    forget(contact, record)
    answer.forgotten = answer.forgotten + 1
  end
end

forget_calls(KEYS[23], KEYS[24], batch)

-- When to come back: the earliest deadline left; stalled ones are looked at again in a second.
local next_ms = math.huge
for _, set in ipairs({ reserved, previewing, dialing, connected, orphaned, deferred, final }) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if first and first ~= 'inf' then next_ms = math.min(next_ms, tonumber(first)) end
end
if answer.stalled > 0 or not is_rebuilt then next_ms = math.max(next_ms, ledger_ms + 1000) end
if next_ms == math.huge then
  redis.call('ZREM', sweep_schedule, campaign)
else
  redis.call('ZADD', sweep_schedule, digits(next_ms), campaign)
end
publish()
answer.wake = answer.released + answer.expired + answer.closed + answer.doubted + answer.promoted > 0
return cjson.encode(answer)
