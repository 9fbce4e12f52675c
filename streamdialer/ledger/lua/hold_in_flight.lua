-- Second part of rebuilding a campaign: contacts the backend shows as dialing or answered, and whose call the ledger has
-- forgotten, are held in doubt until their events or the longest conversation is over.
-- KEYS 1–20 of the campaign, 21 numbers not to be called, 22 requests, of contacts whose number was not known here,
--   23 contacts by number, 24 recent calls, 25 their newest
-- ARGV campaign, retry plan JSON, caps JSON ('' = none), deadline after sending ms, longest conversation ms, then per
--   contact: id, priority, attempts, JSON, is shown as answered ('1'), last attempt (server's ms, '' = not known)
-- Returns how many are in doubt now that were not · -1 the campaign has been rebuilt
-- uses: clock campaign outbox phone_rotation retry attempts suppression number_index call_history
local deadline_ms, max_call_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local recent, newest_calls = KEYS[24], KEYS[25]
local memory = redis.call('HMGET', server, 'rebuild_epoch', 'lost')
if not memory[1] or redis.call('HGET', totals, 'rebuilt') == memory[1] then return -1 end
if redis.call('HEXISTS', directory, campaign) == 0 then return -1 end -- it was cleaned up meanwhile
keep_plan(ARGV[2])
keep_caps(recent, ARGV[3])
local doubted = 0
for i = 6, #ARGV, 6 do
  local contact, priority, attempts = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local record = load_record(contact)
  local is_new = not record
  record = record or { a = math.max(0, attempts - 1), pr = priority, o = digits(order_of(priority, ledger_ms, 0)) }
  local is_idle = is_new or ({ ready = 1, deferred = 1, previewing = 1, reserved = 1 })[record.p]
  local has_news = redis.call('HEXISTS', outbox, contact) == 1
  if is_idle and (is_new or attempts > record.a) then
    redis.call('HDEL', outbox, contact) -- what it says is older than what the backend shows
    redis.call('HSET', contacts, contact, ARGV[i + 3])
    know_contact(contact, record, ARGV[i + 3], KEYS[21], KEYS[22], KEYS[23])
    remember_attempt(contact, record, tonumber(memory[2] or ledger_ms), deadline_ms)
    local attempt = record.h[#record.h]
    local sent = tonumber(ARGV[i + 5])
    if sent then attempt.sm = math.min(attempt.sm, sent + (ledger_ms - server_ms)) end
    local before = adds(attempt)
    attempt.f.u = 1
    if ARGV[i + 4] == '1' then attempt.f.w = 1 end
    draw_consequences(contact, record, #record.h, before, max_call_ms)
    attempt.k = memory[1]
    count_call(recent, newest_calls, contact, record, attempt)
    save_record(contact, record)
    doubted = doubted + 1
  elseif record.p == 'dialing' or record.p == 'connected' or record.p == 'orphaned' then
    local attempt = record.h[#record.h]
    attempt.k = memory[1]
    if record.q then -- it was made from an event: now it is known who it is and how often they were called
      redis.call('HSET', contacts, contact, ARGV[i + 3])
      know_contact(contact, record, ARGV[i + 3], KEYS[21], KEYS[22], KEYS[23])
      local was = attempt.id
      record.q, record.pr, record.a = nil, priority, math.max(record.a, attempts)
      attempt.n, attempt.p.a = math.max(attempt.n, record.a), record.a - 1
      attempt.id = campaign .. ':' .. contact .. ':' .. attempt.n
      count_call(recent, newest_calls, contact, record, attempt, was)
    end
    save_record(contact, record)
  elseif (record.p == 'final' or record.p == 'deferred') and not has_news then
    tell_backend(contact, status_of(record), told_attempts(record), nil) -- it was told, and shows something older
    if record.q then
      record.q = LISTED_AGAIN[record.h[#record.h].d] and 2 or 1
      move(contact, record, 'final', math.huge)
      save_record(contact, record)
    end
  end
end
publish()
return doubted
