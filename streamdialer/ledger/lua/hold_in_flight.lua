-- Second part of rebuilding a campaign after a data loss: contacts that the backend shows as dialing or
-- answered, and whose call the ledger has lost, are held as orphaned until their events arrive or the longest
-- possible conversation is over.
-- KEYS 1–23 of the campaign, 24 do-not-call list, 25 campaign's pending_dnc, 26 contacts by number, 27 call
--   history, 28 its newest calls, 29 campaign's refused, 30 outcomes
-- ARGV campaign, retry plan JSON, caps JSON ('' = none), deadline after sending ms, longest possible
--   conversation ms, who rebuilds, for how long others wait for it ms, most outcomes kept, then per contact: id,
--   priority, attempts, JSON, the backend shows it as answered ('1'), last attempt (server's ms, '' = not known)
-- Returns how many contacts are orphaned by this call · -1 the campaign has been rebuilt, or another process
--   rebuilds it
-- uses: clock spellings campaign rebuilding outbox phone_rotation retry stream_ids attempts bounded_stream outcome apply_facts evidence suppression number_index call_history
local dnc_list, pending_dnc, contacts_by_number, call_history, newest_calls, refused = unpack(KEYS, 24, 29)
local deadline_ms, max_call_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local outcomes = { stream = KEYS[30], most = ARGV[8] }
local stored = redis.call('HMGET', server, 'rebuild_epoch', 'lost')
local epoch = stored[1]
if not epoch or redis.call('HGET', totals, 'rebuilt') == epoch then return -1 end
if redis.call('HEXISTS', directory, campaign) == 0 then return -1 end -- it was deleted meanwhile
if not hold_rebuild(ARGV[6], tonumber(ARGV[7])) then return -1 end
save_plan(ARGV[2])
save_caps(call_history, ARGV[3])

local function store_call_data(contact, record, call)
  redis.call('HSET', contacts, contact, call)
  apply_contact_data(contact, record, call, dnc_list, pending_dnc, contacts_by_number)
end

local added = 0
for i = 9, #ARGV, 6 do
  local contact, priority, attempts, call = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3]
  local is_answered, sent_ms = ARGV[i + 4] == '1', tonumber(ARGV[i + 5])
  local record = load_record(contact)
  local is_new = not record
  local order = format_number(ready_order(priority, ledger_ms, 0))
  record = record or { a = math.max(0, attempts - 1), pr = priority, o = order }
  -- The backend has one row for the contact of several campaigns: the call is that of the campaign that holds the person.
  local holder = redis.call('HGET', persons_up, contact)
  local is_elsewhere = holder and holder ~= campaign and not redis.call('ZSCORE', persons_called, contact)
  local is_finished = is_new and redis.call('HEXISTS', refused, contact) == 1 -- the backend refused its end
  local is_idle = is_new and not is_finished or ({ ready = 1, deferred = 1, previewing = 1, reserved = 1 })[record.p]
  local has_update = redis.call('HEXISTS', outbox, contact) == 1
  if is_idle and not is_elsewhere and (is_new or attempts > record.a) then
    redis.call('HDEL', outbox, contact) -- what it says is older than what the backend shows
    store_call_data(contact, record, call)
    remember_attempt(contact, record, tonumber(stored[2] or ledger_ms), deadline_ms)
    local attempt = record.h[#record.h]
    if sent_ms then attempt.sm = math.min(attempt.sm, sent_ms + (ledger_ms - server_ms)) end
    local totals_before = totals_of(attempt)
    attempt.f.u = 1
    if is_answered then attempt.f.w = 1 end
    apply_facts(contact, record, #record.h, totals_before, max_call_ms, outcomes)
    attempt.k = epoch
    count_call(call_history, newest_calls, contact, record, attempt)
    save_record(contact, record)
    added = added + 1
  elseif record.p == 'dialing' or record.p == 'connected' or record.p == 'orphaned' then
    local attempt = record.h[#record.h]
    attempt.k = epoch
    save_record(contact, record)
  elseif (record.p == 'final' or record.p == 'deferred') and not has_update then
    enqueue_update(contact, backend_status(record), record.a, nil) -- the backend shows an older state
  end
end
write_public_hash()
return added
