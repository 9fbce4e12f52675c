-- Loads contacts from the backend and makes them ready. A contact the ledger knows stays in its state; it
-- takes over the backend's priority, and the backend's corrections while it is ready or deferred. A finished
-- contact comes back when the backend has made it pending since. Nothing is loaded for a campaign that is not
-- registered: no cleanup would ever remove it.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 campaign's pending_dnc, 26 contacts by number, 27 campaign's
--   refused (finished contacts whose state the backend refused)
-- ARGV campaign, max attempts, how long a final contact is kept ms, country of local numbers ('' = not
--   known), hours (lib/hours.lua; '' = contacts may be called at any time), when the backend was asked
--   (ledger ms, '' = now), how long its lists may lag behind its confirmations ms, how many contacts of the
--   same list were loaded before these, then per contact: id, priority, attempts, JSON, problem ('' = it can be
--   called), reset ('1' = the backend shows another status than pending and must get pending), mark of the row ('' = not known; `LoadRow.shown`), due ('' = now; server's ms: it
--   waits for its retry until then), the status that the backend shows
-- Returns JSON: `LoadResult` (`ledger/types.py`)
-- uses: clock spellings campaign outbox phone_rotation retry stream_ids attempts suppression number_index hours call_history eligibility
local dnc_list, pending_dnc, contacts_by_number, refused = unpack(KEYS, 24, 27)
local max_attempts, final_ttl_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local hours, asked_ms, lag_ms = read_hours(ARGV[5]), tonumber(ARGV[6]) or ledger_ms, tonumber(ARGV[7])
local answer = { added = 0, known = 0, invalid = 0, used_up = 0, waiting = 0, refused = {}, final = {} }
if redis.call('HEXISTS', directory, campaign) == 0 then return cjson.encode(answer) end
redis.call('PEXPIRE', pending_dnc, PENDING_DNC_TTL_MS)
if ARGV[4] ~= '' then redis.call('HSET', totals, 'country', ARGV[4]) end

-- Updates priority and age of a known contact. With another priority it changes its order and keeps its age.
local function refresh(contact, record, priority, is_pending, shown)
  local is_in_line = record.p == 'ready' or record.p == 'previewing'
  local has_new_priority, is_seen = record.pr ~= priority, is_pending and is_in_line
  if record.p == 'final' or not (has_new_priority or is_seen) then return end
  if has_new_priority then
    record.o = format_number(tonumber(record.o) + (record.pr - priority) * PRIORITY_STEP)
    record.pr = priority
    if record.p == 'ready' then make_ready(contact, record) end
  end
  if is_seen then record.sn, record.rw = math.max(record.sn or 0, asked_ms), shown or record.rw end
  save_record(contact, record)
end

-- Takes over what the backend has corrected of a ready or deferred contact: numbers, zone, what an agent is
-- shown.
local function correct(contact, record, call, problem)
  if record.p ~= 'ready' and record.p ~= 'deferred' or redis.call('HGET', contacts, contact) == call then return end
  local old, old_numbers = { e = record.e, ns = record.ns, cb = record.cb }, table.concat(numbers_of(record), ' ')
  record.e, record.ns, record.z = nil, nil, nil
  apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
  if table.concat(numbers_of(record), ' ') ~= old_numbers then record.ni, record.nx = nil, nil end
  if record.dnc then
    record.dnc = nil
    suppress(contact, record)
  elseif problem ~= '' then
    enqueue_update(contact, 'invalid', nil, nil)
    record.why = problem
    set_state(contact, record, 'final', math.huge)
  elseif record.w and record.w.y == 'no_consent' then
    make_ready(contact, record)
  end
  save_record(contact, record)
  unindex_numbers(contacts_by_number, contact, old)
  index_numbers(contacts_by_number, contact, record) -- it may have some of the old numbers
  redis.call('HSET', contacts, contact, call) -- last: where an update has no place, all is done again
end

-- Counts a contact that the backend shows as pending and that is final here, by why it is.
local function count_final(contact, record)
  if redis.call('HEXISTS', outbox, contact) == 1 or record.dnc then return end
  local reason
  if record.why then
    reason = record.why == 'zone_unknown' and 'zone_unknown' or 'no_phone_number'
  elseif not record.h and record.a >= max_attempts then
    reason = 'max_attempts'
  elseif ARGV[6] ~= '' and asked_ms > (record.cf or math.huge) + lag_ms then
    reason = 'finished'
  end
  if reason then answer.final[reason] = (answer.final[reason] or 0) + 1 end
end

-- Whether a row shows that the backend has changed a finished contact since: it shows it as pending, was asked well after
-- it had the contact's end, and the row is not the one it showed before. A row that only lags behind may look like that
-- one; while a worker that lost its lease has not answered, the row may show that worker's older state.
local function is_back(contact, record, shown)
  local is_late = ARGV[6] ~= '' and record.cf and asked_ms > record.cf + lag_ms
  if record.p ~= 'final' or record.dnc or record.lw or not shown or not is_late then return false end
  if redis.call('HEXISTS', outbox, contact) == 1 then return false end
  if record.rf and not record.rw then -- of a refused state, the row may be as old as the contact
    record.rw = shown
    save_record(contact, record)
  end
  return record.rw ~= shown
end

-- Whether a contact without a record stays finished: the backend refused its end, and shows it as it did then.
local function stays_finished(contact, shown, is_tried_again)
  local mark = redis.call('HGET', refused, contact)
  if not mark or redis.call('HEXISTS', pending_dnc, contact) == 1 then return false end
  if mark == '' and shown and not is_tried_again then redis.call('HSET', refused, contact, shown) end
  if mark == '' or not shown or is_tried_again or mark == shown then return true end
  redis.call('HDEL', refused, contact)
  return false
end

local has_begun_again = false
local function begin_again() -- the campaign goes on, and ends another time (publish_exhausted.lua)
  if not has_begun_again then redis.call('HDEL', totals, 'exhausted') end
  has_begun_again = true
end

local blocked = {}
local function count_refused(reason)
  answer.refused[reason] = (answer.refused[reason] or 0) + 1
  begin_again()
end

for i = 9, #ARGV, 9 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local call, problem, is_reset = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5] == '1'
  local shown = ARGV[i + 6] ~= '' and ARGV[i + 6] or nil
  local due_ms, shown_status = tonumber(ARGV[i + 7]), ARGV[i + 8] ~= 'pending' and ARGV[i + 8] or nil
  local is_pending = not is_reset and not due_ms
  local known = load_record(contact)
  if known and is_pending and is_back(contact, known, shown) then
    unindex_numbers(contacts_by_number, contact, known)
    redis.call('ZREM', final, contact)
    forget_contact(contact, known)
    known = nil
  end
  if not known and stays_finished(contact, shown, not is_pending) then
    answer.known = answer.known + 1
  elseif known then
    answer.known = answer.known + 1
    if known.p == 'final' and is_pending then count_final(contact, known) end
    refresh(contact, known, priority, is_pending, shown)
    correct(contact, known, call, problem)
    if cjson.decode(call).dnc then suppress(contact, known) end
  else
    local fraction = ((ARGV[8] + (i - 9) / 9) % 512) / 512 -- keeps the backend's order within one millisecond
    local order = format_number(ready_order(priority, ledger_ms, fraction))
    local record = { sn = asked_ms, a = attempts, o = order, pr = priority, rw = shown, rs = shown_status }
    apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
    if record.dnc then
      count_refused('do_not_call')
      note_blocked(blocked, contact, { reason = 'do_not_call' })
      enqueue_update(contact, 'do_not_call', nil, nil)
      set_state(contact, record, 'final', math.huge)
    elseif problem ~= '' then
      answer.invalid = answer.invalid + 1
      enqueue_update(contact, 'invalid', nil, nil)
      record.why = problem
      set_state(contact, record, 'final', math.huge)
    elseif attempts >= max_attempts then
      answer.used_up = answer.used_up + 1
      redis.call('HSET', contacts, contact, call) -- a callback may be requested
      set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
      record.cf = asked_ms
    elseif due_ms then
      answer.waiting = answer.waiting + 1
      begin_again()
      redis.call('HSET', contacts, contact, call)
      defer(contact, record, due_ms + (ledger_ms - server_ms), 'retry', shown_status)
    else
      local refusal = hours_refusal(opening_of(hours, contact, record) or {}) -- the claim asks for hours not known here
      if is_reset and not (refusal and refusal.state == 'final') then enqueue_update(contact, 'pending', nil, nil) end
      if refusal then
        count_refused(refusal.reason)
        note_blocked(blocked, contact, refusal)
        apply_refusal(contact, record, refusal)
      else
        answer.added = answer.added + 1
        begin_again()
        make_ready(contact, record)
      end
      redis.call('HSET', contacts, contact, call)
    end
    save_record(contact, record)
  end
end
write_public_hash()
answer.blocked = encodable_blocks(blocked)
return cjson.encode(answer)
