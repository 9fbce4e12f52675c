-- Loads contacts from the backend and makes them ready. A contact the ledger knows stays in its state; it
-- takes over the backend's priority, and the backend's corrections while it is ready or deferred. Nothing is
-- loaded for a campaign that is not registered: no cleanup would ever remove it.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 campaign's pending_dnc, 26 contacts by number
-- ARGV campaign, max attempts, how long a final contact is kept ms, country of local numbers ('' = not
--   known), hours (lib/hours.lua; '' = contacts may be called at any time), when the backend was asked (ledger ms, '' = now),
--   then per contact: id, priority,
--   attempts, JSON, problem ('' = it can be called), reset ('1' = the backend shows another status than
--   pending and must get that one), due ('' = now; server's ms: it waits for its retry until then), the status
--   that the backend shows meanwhile
-- Returns JSON: `LoadResult` (`ledger/types.py`)
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index hours call_history eligibility
local dnc_list, pending_dnc, contacts_by_number = unpack(KEYS, 24, 26)
local max_attempts, final_ttl_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local hours, asked_ms = read_hours(ARGV[5]), tonumber(ARGV[6]) or ledger_ms
local answer = { added = 0, known = 0, invalid = 0, used_up = 0, waiting = 0, refused = {} }
if redis.call('HEXISTS', directory, campaign) == 0 then return cjson.encode(answer) end
if ARGV[4] ~= '' then redis.call('HSET', totals, 'country', ARGV[4]) end

-- Updates priority and age of a known contact. With another priority it changes its order and keeps its age.
local function refresh(contact, record, priority, is_pending)
  local has_new_priority, is_seen = record.pr ~= priority, is_pending and record.p == 'ready'
  if record.p == 'final' or not (has_new_priority or is_seen) then return end
  if has_new_priority then
    record.o = format_number(tonumber(record.o) + (record.pr - priority) * PRIORITY_STEP)
    record.pr = priority
    if record.p == 'ready' then make_ready(contact, record) end
  end
  if is_seen then record.sn = math.max(record.sn or 0, asked_ms) end
  save_record(contact, record)
end

-- Takes over what the backend has corrected of a ready or deferred contact: numbers, zone, what an agent is
-- shown.
local function correct(contact, record, call, problem)
  if record.p ~= 'ready' and record.p ~= 'deferred' or redis.call('HGET', contacts, contact) == call then return end
  local old_numbers = table.concat(numbers_of(record), ' ')
  unindex_numbers(contacts_by_number, contact, record)
  redis.call('HSET', contacts, contact, call)
  record.e, record.ns, record.z = nil, nil, nil
  apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
  if table.concat(numbers_of(record), ' ') ~= old_numbers then record.ni, record.nx = nil, nil end
  if record.dnc then
    record.dnc = nil
    suppress(contact, record)
  elseif problem ~= '' then
    record.why = problem
    set_state(contact, record, 'final', math.huge)
    enqueue_update(contact, 'invalid', nil, nil)
  end
  save_record(contact, record)
end

local function count_refused(reason) answer.refused[reason] = (answer.refused[reason] or 0) + 1 end

for i = 7, #ARGV, 8 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local call, problem, is_reset = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5] == '1'
  local due_ms, shown_status = tonumber(ARGV[i + 6]), ARGV[i + 7]
  local known = load_record(contact)
  if known then
    answer.known = answer.known + 1
    refresh(contact, known, priority, not is_reset)
    correct(contact, known, call, problem)
    if cjson.decode(call).dnc then suppress(contact, known) end
  else
    local fraction = ((i - 7) / 8 % 512) / 512 -- keeps the backend's order within one millisecond
    local order = format_number(ready_order(priority, ledger_ms, fraction))
    local record = { sn = asked_ms, a = attempts, o = order, pr = priority }
    record.n = tonumber(redis.call('HGET', totals, 'n:' .. contact) or nil)
    apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
    if record.dnc then
      count_refused('do_not_call')
      set_state(contact, record, 'final', math.huge)
      enqueue_update(contact, 'do_not_call', nil, nil)
    elseif problem ~= '' then
      answer.invalid = answer.invalid + 1
      record.why = problem
      set_state(contact, record, 'final', math.huge)
      enqueue_update(contact, 'invalid', nil, nil)
    elseif attempts >= max_attempts then
      answer.used_up = answer.used_up + 1
      redis.call('HSET', contacts, contact, call) -- a callback may be requested
      set_state(contact, record, 'final', ledger_ms + final_ttl_ms)
    elseif due_ms then
      answer.waiting = answer.waiting + 1
      redis.call('HSET', contacts, contact, call)
      record.rs = shown_status
      defer(contact, record, due_ms + (ledger_ms - server_ms), 'retry', shown_status)
    else
      redis.call('HSET', contacts, contact, call)
      local refusal = hours_refusal(opening_of(hours, contact, record) or {}) -- the claim asks for hours not known here
      if refusal then
        count_refused(refusal.reason)
        apply_refusal(contact, record, refusal)
      else
        answer.added = answer.added + 1
        make_ready(contact, record)
      end
      if is_reset and record.p ~= 'final' then enqueue_update(contact, 'pending', nil, nil) end
    end
    save_record(contact, record)
  end
end
if answer.added > 0 or answer.waiting > 0 or next(answer.refused) then
  redis.call('HDEL', totals, 'exhausted') -- the campaign goes on, and ends another time (publish_exhausted.lua)
end
write_public_hash()
return cjson.encode(answer)
