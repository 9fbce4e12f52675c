-- Why a contact may not be called now although its campaign may place calls: the last check before it is
-- reserved.
-- A refusal: {reason = code, state = where the contact goes instead: final | deferred, due = until when it is
--   deferred, ms?, detail = sentence?, why = what is wrong with the contact itself?}.

-- While another contact or campaign has a call to the number or person, the contact waits. It is checked again after
-- this pause.
local IN_CALL_PAUSE_MS = 5000
local function in_call_refusal(contact, record)
  local other = other_call(contact, record)
  if not other then return nil end
  return { reason = 'in_call', state = 'deferred', due = ledger_ms + IN_CALL_PAUSE_MS, detail = other }
end

-- Returns the first refusal, or nil when the contact may be called.
local function find_refusal(contact, record, max_attempts, dnc_list, opening, call_history, caps)
  if is_suppressed(dnc_list, record) then return { reason = 'do_not_call', state = 'final' } end
  if record.a >= max_attempts and not open_callback(record) then return { reason = 'max_attempts', state = 'final' } end
  return hours_refusal(opening) or cap_refusal(call_history, caps, contact, record) or in_call_refusal(contact, record)
end

-- Counts a refused contact with its rule in `blocked` ({reason, rule, count, contacts}), and names the first ones.
local note_blocked
do
  local MAX_RULES, MAX_CONTACTS = 50, 50 -- of one answer: a tick's blocks are kept
  function note_blocked(blocked, contact, refusal)
    local rule, names, block = refusal.detail or '', 0, nil
    for _, each in ipairs(blocked) do
      names = names + #each.contacts
      if each.reason == refusal.reason and each.rule == rule then block = each end
    end
    if not block and #blocked == MAX_RULES then return end
    if not block then
      block = { reason = refusal.reason, rule = rule, count = 0, contacts = {} }
      blocked[#blocked + 1] = block
    end
    block.count = block.count + 1
    if names < MAX_CONTACTS then block.contacts[#block.contacts + 1] = contact end
  end
end

-- Returns the blocks for an answer, nil when there are none: cjson writes an empty table as an object.
local function encodable_blocks(blocked)
  for _, each in ipairs(blocked) do each.contacts = #each.contacts > 0 and each.contacts or nil end
  return #blocked > 0 and blocked or nil
end

-- Whether the backend must be asked before the call: it has not shown the contact as pending for that long, or not
-- since another campaign has called the person.
local function needs_verification(contact, record, max_age_ms)
  local seen_ms = record.sn or 0
  if ledger_ms - seen_ms > max_age_ms then return true end
  local called_ms = redis.call('ZSCORE', persons_called, contact)
  return called_ms and tonumber(called_ms) > seen_ms and redis.call('HGET', persons_up, contact) ~= campaign
end

-- Moves a refused contact out of `ready` or `previewing`. Saves the record.
local function apply_refusal(contact, record, refusal)
  if refusal.state == 'deferred' then
    defer(contact, record, refusal.due, refusal.reason, refusal.detail)
  else
    record.why = refusal.why
    record.dnc = record.dnc or refusal.reason == 'do_not_call' or nil
    local place, waits = record.p, record.w
    record.p, record.w = 'final', nil -- as the backend is to see it; the stream may refuse the entry: it comes first
    enqueue_update(contact, backend_status(record), record.a, nil)
    record.p, record.w = place, waits
    set_state(contact, record, 'final', math.huge)
  end
  save_record(contact, record)
end
