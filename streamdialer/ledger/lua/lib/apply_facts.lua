-- Applies an attempt's facts to its state, the totals, its contact, the outbox and the stream of outcomes (`outcomes`,
-- lib/outcome.lua): every end of an attempt, and every change of one, comes through here. `position` is the attempt's
-- index in record.h, `totals_before` what it added to the totals before its facts changed. Returns true when this took
-- the contact out of `dialing` or `connected`. The caller has changed attempt.f and saves the record.
local apply_facts
do
  -- lib/abandon_window.lua keeps the sums of the hours before the one in which it last read them.
  local function change_sums(hour, letter, change)
    if hour >= math.floor(ledger_ms / 3600000) then return end
    local of, at, answered, abandoned =
      string.match(redis.call('HGET', totals, 'abandon_sums') or '', '^(%d+) (%d+) (%d+) (%d+)$')
    if not of or hour >= tonumber(at) or hour <= at - of then return end
    local sums = { p = tonumber(answered), b = tonumber(abandoned) }
    sums[letter] = sums[letter] + change
    redis.call('HSET', totals, 'abandon_sums', string.format('%d %d %d %d', of, at, sums.p, sums.b))
  end

  -- Counts of the last 31 days by the hour of sending, for the abandon rate: fields `p0`–`p743` (answered by a
  -- person) and `b0`–`b743` (abandoned), used in turn. A value is the hour since 1970 times a million, plus the
  -- count.
  local function change_window(attempt, before, after)
    for name, letter in pairs({ answered_by_person = 'p', abandoned = 'b' }) do
      local change = (after[name] or 0) - (before[name] or 0)
      if change ~= 0 then
        local hour = math.floor(attempt.sm / 3600000)
        local field = letter .. hour % 744
        local stored = tonumber(redis.call('HGET', totals, field) or 0)
        if math.floor(stored / 1000000) == hour then
          redis.call('HINCRBY', totals, field, change)
          change_sums(hour, letter, change)
        elseif change > 0 and stored < hour * 1000000 then
          redis.call('HSET', totals, field, format_number(hour * 1000000 + change))
          change_sums(hour, letter, change)
        end
      end
    end
  end

  -- Whether the trunk, or who places the calls, failed: not a person who was busy, absent or declined, not a number that
  -- does not exist, and not silence.
  local DECLINED = { ['q850:21'] = true, ['sip:603'] = true, ['sip:607'] = true, ['sip:608'] = true }
  local function has_failed(attempt, kind, cause)
    if attempt.s ~= 'ended' then return false end
    if kind == 'invalid' then return attempt.f.i ~= nil and not attempt.f.x end
    return attempt.f.x ~= nil and (kind == 'congestion' or kind == 'failed' and not DECLINED[cause])
  end

  -- Counts the call when it is answered or ends, by the time of that (lib/auto_pause.lua); and again what has changed.
  local CALLS_SLOT_MS, KEPT_SLOTS = 10000, 12
  local function count_recent(attempt, kind, cause)
    local is_known = attempt.s == 'answered' or attempt.s == 'ended' and kind ~= 'cancelled'
    local was_failure, is_failure = attempt.ff ~= nil, has_failed(attempt, kind, cause)
    local more_calls = (is_known and 1 or 0) - (attempt.fs and 1 or 0)
    local more_failed = (is_failure and 1 or 0) - (was_failure and 1 or 0)
    if more_calls == 0 and more_failed == 0 then return end
    local now_slot = math.floor(ledger_ms / CALLS_SLOT_MS)
    local its_slot, kept, is_counted = attempt.fs or now_slot, {}, false
    local stored = redis.call('HGET', totals, 'recent_calls') or ''
    for slot, calls, failed in string.gmatch(stored, '(%d+) (%d+) (%d+)') do
      if tonumber(slot) == its_slot then
        calls, failed, is_counted = calls + more_calls, failed + more_failed, true
      end
      if tonumber(slot) > now_slot - KEPT_SLOTS then
        kept[#kept + 1] = string.format('%d %d %d', slot, math.max(0, calls), math.max(0, failed))
      end
    end
    if not is_counted and not attempt.fs then
      kept[#kept + 1] = string.format('%d %d %d', its_slot, more_calls, more_failed)
    end
    redis.call('HSET', totals, 'recent_calls', table.concat(kept, ' '))
    attempt.fs, attempt.ff = is_known and its_slot or nil, is_failure and 1 or nil
  end

  -- Returns the disposition for other programs: to them a congested network is a failed call, and a call that was taken
  -- back had no answer.
  local PUBLIC = { congestion = 'failed', cancelled = 'no_answer' }
  local function public_disposition(kind) return PUBLIC[kind] or kind end

  local function change_contact(contact, record, position, max_call_ms)
    local function report(status, attempts, at)
      enqueue_update(contact, record.dnc and 'do_not_call' or status, attempts, at)
    end
    local attempt = record.h[position]
    local old_state, old_disposition, old_rule = attempt.s, attempt.d, attempt.y
    local kind, cause, delay_ms
    attempt.s, kind, cause = attempt_state(attempt)
    attempt.d, attempt.y, attempt.u = public_disposition(kind), nil, nil
    if kind == 'invalid' and has_another_phone(contact, record, attempt) then kind, cause = 'failed', nil end
    if attempt.s == 'ended' then delay_ms = apply_retry_plan(retry_plan(), attempt, kind, cause) end
    local changed = attempt.s ~= old_state or attempt.d ~= old_disposition or attempt.y ~= old_rule
    if attempt.s == 'ended' then
      attempt.em = attempt.em or ledger_ms
    elseif changed then
      attempt.em, attempt.dp = nil, nil -- it has another deadline from now on
    end
    local newest = record.h[#record.h]
    if changed and position == #record.h - 1 and (newest.s == 'reserved' or newest.s == 'released') then
      table.remove(record.h) -- nothing was sent for it, and the attempt before it has changed
    end
    if not changed or position ~= #record.h then return false end

    if attempt.s == 'released' then
      record.a = attempt.p.a
      make_ready_and_report(contact, record, nil)
      return true
    end
    record.a, attempt.g = attempt.p.a + (attempt.u and 0 or 1), nil
    if attempt.s == 'answered' then
      report('answered', record.a, attempt.sm)
      set_state(contact, record, 'connected', ledger_ms + max_call_ms)
      return false
    end
    if attempt.s == 'orphaned' then
      set_state(contact, record, 'orphaned', attempt.sm + max_call_ms)
      return true
    end
    if attempt.s ~= 'ended' then
      if record.p ~= 'dialing' then -- the reply said "not placed", an event proves otherwise
        report('dialing', record.a, attempt.sm)
        set_state(contact, record, 'dialing', ledger_ms + attempt.dd)
      end
      return false
    end
    local disposition = rotate_phone(contact, record, attempt)
    local may_have_callback = disposition ~= 'invalid' and disposition ~= 'do_not_call'
    if open_callback(record) and not record.dnc and may_have_callback then
      make_ready_and_report(contact, record, attempt.em)
      return true
    end
    report(disposition, record.a, attempt.em)
    if delay_ms then
      defer(contact, record, attempt.em + delay_ms, 'retry', attempt.y)
    else
      set_state(contact, record, 'final', math.huge)
    end
    return true
  end

  function apply_facts(contact, record, position, totals_before, max_call_ms, outcomes)
    local attempt = record.h[position]
    local is_over = change_contact(contact, record, position, max_call_ms)
    report_outcome(outcomes, contact, record, attempt)
    -- What is added up comes after the entries for streams: a stream may refuse one, and all is done again.
    local _, kind, cause = attempt_state(attempt)
    count_recent(attempt, kind, cause)
    local totals_after = totals_of(attempt)
    change_totals(totals_before, totals_after)
    change_window(attempt, totals_before, totals_after)
    return is_over
  end
end
