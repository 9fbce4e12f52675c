-- How far the Dialer API has got. It may place calls one after the other: an attempt without any event may still wait
-- there, for as long as the calls before it ring. Its replies do not say so, but the events of those calls do.
--   first_events  sorted set: second in which attempts were sent (ledger clock) -> when the newest first event of one
--                 of them was written, ledger ms; as long as any attempt may be silent, whatever its campaign's deadline
--   api           begun, late: calls that were seen to ring, and those of them that began long after they were sent; both
--                 are halved now and then. longest_ms: the longest delay lately. serial: '1' while many are late.
--                 replies, unclear: the same of replies (settle_originate.lua)
local api_queue = {
  OUT_OF_ORDER_MS = 5000, -- requests may overtake each other on their way
  KEPT_MS = 900000, -- longer than the longest ring time-out of a campaign
  rows = {},
}

-- Adds to two counters, and halves them when the first reaches 20: what was long ago counts less. Returns both.
function api_queue.count(api, all, some, is_one)
  local number, those = redis.call('HINCRBY', api, all, 1), redis.call('HINCRBY', api, some, is_one and 1 or 0)
  if number >= 20 then redis.call('HSET', api, all, math.floor(number / 2), some, math.floor(those / 2)) end
  return number, those
end

-- Notes the first event of an attempt, which was written at `written_ms`. `rings`: it shows it ringing.
function api_queue.note(first_events, api, attempt, rings, written_ms)
  if attempt.t == 'remembered' then return end -- nobody knows when it was sent
  redis.call('ZADD', first_events, 'GT', format_number(written_ms), format_number(math.floor(attempt.sm / 1000)))
  local kept_ms = math.max(attempt.dd, api_queue.KEPT_MS)
  redis.call('ZREMRANGEBYSCORE', first_events, '-inf', format_number(ledger_ms - kept_ms))
  redis.call('PEXPIRE', first_events, kept_ms)
  if not rings then return end
  local delay_ms = written_ms - attempt.sm
  local is_late = delay_ms > attempt.dd / 3
  local begun, late = api_queue.count(api, 'begun', 'late', is_late)
  if begun >= 20 or delay_ms > tonumber(redis.call('HGET', api, 'longest_ms') or 0) then
    redis.call('HSET', api, 'longest_ms', format_number(delay_ms))
  end
  if late >= 3 and late * 4 >= begun then
    redis.call('HSET', api, 'serial', '1')
  else
    redis.call('HDEL', api, 'serial')
  end
end

-- Returns when the newest of the attempts that may stand before this one was seen for the first time, or when this one
-- was sent. Attempts sent at about the same time may stand before it.
function api_queue.moved_at(first_events, attempt)
  local rows = api_queue.rows[attempt.dd]
    or redis.call('ZRANGEBYSCORE', first_events, format_number(ledger_ms - attempt.dd), '+inf', 'WITHSCORES')
  api_queue.rows[attempt.dd] = rows
  local newest = attempt.sa or attempt.sm
  for i = 1, #rows, 2 do
    if tonumber(rows[i]) * 1000 <= attempt.sm + api_queue.OUT_OF_ORDER_MS then
      newest = math.max(newest, tonumber(rows[i + 1]))
    end
  end
  return newest
end
