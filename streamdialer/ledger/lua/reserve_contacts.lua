-- Reserves the next ready contacts of a campaign and appends one entry per reserved call to `calls`. Checks
-- in the same step everything that may forbid a call: the gate (lib/campaign_gate.lua), every limit on the
-- number of calls, and every contact.
-- KEYS 1–23 of the campaign, 24 stored answer of this token, 25 calls, 26 api, 27 queue's free agents, 28
--   queue's campaigns, 29 queue's busy agents, 30 do-not-call list, 31 call history, 32 trunks, 33 campaign's
--   agent callbacks, 34 caller ids, then reserved and dialing of each other campaign of the queue, then reserved, dialing
--   and connected of each other campaign on the trunk, at last the keys of `Keys.of_sharing`
-- ARGV campaign, JSON: the fields of `ClaimRequest` (`ledger/types.py`), except that `retry` is retry_plan, encoded,
--   and max_attempts, and `open_until_ms` is open_until ('' = none); caps is encoded, '' = none; caller_ids
--   is encoded, nil = none, and caller_id_choice beside it; paused_channel
--   (nil = it does not pause itself) in place of `auto_pause`; others is a list
--   {{campaign, its calls per agent}, …} and sharing a list {{queue, {campaign, …}}, …}, both in the order of KEYS;
--   queue; deadline_ms (after sending), and ring_ms (nil = the setting's) in place of `ring_timeout_s`; and of the
--   settings lease_ms, max_age_ms (a ready contact the backend has not shown as pending for longer needs verification),
--   events_required, answer_ttl_ms (how long the answer is stored), trace (`traceparent` of the caller, '' = none)
-- Returns JSON: `ClaimResult` (`ledger/types.py`)
-- uses: clock data_loss spellings campaign outbox phone_rotation retry stream_ids attempts suppression hours call_history registries recheck rate_limit campaign_gate eligibility reserve agent_callback_order callback shared_agents slots caller_ids ids auto_pause
local stored_answer, calls, api, free_agents, queue_campaigns, busy_agents, dnc_list, call_history, trunks,
  agent_callbacks = unpack(KEYS, 24, 33)
local request = cjson.decode(ARGV[2])
local batch = request.batch
do
  local stored = redis.call('GET', stored_answer)
  if stored then return stored end
end

local gate = check_gate(api, request.open_until, request.events_required, request.deadline_ms)
local answer = { dialed = 0, detail = gate.detail, wait_ms = gate.wait_ms, only_ends = gate.only_ends }
local function count_placed() return count(reserved) + count(dialing) end

local function reply()
  local placed = count_placed()
  answer.free, answer.dialing, answer.live = count(free_agents), placed, placed + count(connected)
  answer.ready, answer.deferred, answer.orphaned = count(ready), count(deferred), count(orphaned)
  answer.ledger_ms, answer.server_ms = ledger_ms, server_ms
  local delays = redis.call('HMGET', api, 'serial', 'late', 'begun', 'longest_ms')
  if delays[1] then answer.serial_api = { tonumber(delays[2]), tonumber(delays[3]), tonumber(delays[4]) } end
  write_public_hash()
  if redis.call('HEXISTS', directory, campaign) == 1 then
    redis.call('HSET', campaign_key, 'available_agents', count(free_agents), 'busy_agents', count(busy_agents))
  end
  return cjson.encode(answer)
end

local function refuse(reason)
  answer.reason = reason
  return reply()
end

if gate.closed then return refuse(gate.closed) end
answer.detail = pauses_itself(request.paused_channel)
if answer.detail then return refuse('auto_paused') end
if not redis.call('ZSCORE', queue_campaigns, campaign) then return refuse('queue_changed') end

local ramp -- of an agentless campaign

-- Returns the room (how many calls may be added), the name of the limit that bound it, and the rate; or the refusal alone.
-- The room begins with the campaign's level, and each limit may lower it.
local function find_room()
  -- The level falls with every free agent that was counted when it was decided and may not be used any more.
  local sharing_keys = 3
  for _, other in ipairs(request.sharing) do sharing_keys = sharing_keys + 3 + 3 * #other[2] end
  local free_now = usable_agents(#KEYS - sharing_keys + 1, request.queue, request.sharing, request.counts_listed)
  if not free_now then return 'queue_changed' end
  answer.usable = free_now
  local too_many = math.max(0, math.ceil((request.free_agents - free_now) * request.calls_per_agent - 1e-9))

  -- Calls of the queue's other campaigns use agents, too.
  local agents_left, others_placed, is_passed = free_now - request.kept_agents, 0, {}
  for i, other in ipairs(request.others) do
    local name, calls_per_agent = other[1], other[2]
    local its_placed = count(KEYS[33 + 2 * i]) + count(KEYS[34 + 2 * i])
    is_passed[name] = true
    others_placed = others_placed + its_placed
    agents_left = agents_left - its_placed / calls_per_agent
  end
  for _, member in ipairs(redis.call('ZRANGE', queue_campaigns, 0, -1)) do
    if member ~= campaign and not is_passed[member] then return 'queue_changed' end
  end

  local rate = check_rate(trunks, request.rate_limits, 35 + 2 * #request.others)
  if rate.is_changed then return 'trunk_changed' end

  local in_flight = count_placed()
  local room, limit, steps = request.level - too_many - in_flight, 'level', {}
  local function at_most(number, name)
    if number == math.huge then return end
    steps[#steps + 1] = { name, room, math.min(number, room) }
    if number < room then room, limit = number, name end
  end
  if request.slots then
    local live = in_flight + count(connected)
    ramp = slots.open(request.slots, live)
    if ramp.next_ms then
      at_most(ramp.open - live, 'ramp')
    else
      at_most(ramp.open - live, 'slots')
    end
  elseif request.queue_level then
    at_most(request.queue_level - too_many - others_placed - in_flight, 'queue')
  else
    at_most(math.floor(agents_left * request.calls_per_agent + 1e-9) - in_flight, 'agents')
  end
  at_most(request.max_concurrent - in_flight - count(connected), 'concurrency')
  at_most(rate.channels, 'trunk_channels')
  at_most(rate.calls, 'calls_per_second')
  at_most(caller_ids.room(KEYS[34]), 'caller_ids')
  if gate.is_probe then at_most(1, 'probe') end -- after a pause one call finds out whether calls are placed again
  at_most(batch, 'batch')
  answer.steps = steps
  return room, limit, rate
end
caller_ids.save(request.caller_ids)
local room, limit, rate = find_room()
if not limit then return refuse(room) end

save_plan(request.retry_plan)
local caps = save_caps(call_history, request.caps)
answer.detail = outdated_registry(caps)
if answer.detail then return refuse('registry_outdated') end
answer.recheck = save_hours_fingerprint(request.hours_fingerprint)
local terms = {
  open_until = request.open_until, rules = request.rules,
  calls = calls, lease_ms = request.lease_ms, deadline_ms = request.deadline_ms, trunk = request.rate_limits.trunk,
  caller_id = request.caller_id, caller_ids = request.caller_id_choice, ring_ms = request.ring_ms,
  on_machine = request.on_machine, trace = request.trace,
}

-- Goes through the ready contacts in their order: each is reserved, moved out of `ready`, or left there for verification by
-- the backend. Returns the limit that ended it.
local MAX_UNVERIFIED = 200
local function reserve_ready()
  local unverified, stale, skipped, why, moved, blocked = 0, {}, {}, {}, 0, {}
  local function end_with(its_limit)
    if unverified > 0 then skipped.needs_verification = unverified end
    if count_set_aside() > 0 then skipped.agent_not_free = count_set_aside() end
    answer.skipped = next(skipped) and skipped or nil
    answer.why = next(why) and why or nil
    answer.blocked = encodable_blocks(blocked)
    answer.stale = #stale > 0 and stale or nil
    return its_limit
  end
  while answer.dialed < room do
    local contact, order = unpack(redis.call('ZRANGE', ready, unverified, unverified, 'WITHSCORES'))
    if not contact or tonumber(order) >= SET_ASIDE_FROM or unverified == MAX_UNVERIFIED then
      return end_with(unverified > 0 and 'needs_verification' or 'no_contacts')
    end
    local record = load_record(contact)
    local is_ready = is_in_state('ready', contact, record)
    local opening = is_ready and opening_of(request.hours, contact, record)
    if is_ready and not opening then
      answer.missing = missing_hours_in_ready(request.hours, unverified, batch)
      return end_with('hours')
    end
    local refusal = is_ready
      and find_refusal(contact, record, request.max_attempts, dnc_list, opening, call_history, caps)
    local agent = is_ready and callback_agent(record)
    if not is_ready then
      moved = moved + 1
    elseif refusal then
      local reason = refusal.reason
      skipped[reason] = (skipped[reason] or 0) + 1
      why[reason] = why[reason] or refusal.detail
      moved = moved + 1
      if reason ~= 'in_call' and reason ~= 'max_attempts' then note_blocked(blocked, contact, refusal) end
      apply_refusal(contact, record, refusal)
    elseif agent and not may_have_call(agent, free_agents) then
      moved = moved + 1
      set_aside(agent_callbacks, contact, record)
    elseif needs_verification(contact, record, request.max_age_ms) then
      unverified = unverified + 1 -- it stays where it is; without an update on its way, the backend is asked
      if redis.call('HEXISTS', outbox, contact) == 0 then stale[#stale + 1] = contact end
    else
      answer.dialed = answer.dialed + 1
      local token = request.token .. '/' .. answer.dialed .. '/' .. format_number(ledger_ms)
      reserve_contact(contact, record, terms, opening, token, agent)
    end
    if moved >= batch then
      answer.next_ms = 0
      break
    end
  end
  return end_with(limit)
end
if room > 0 and has_set_aside(agent_callbacks) then
  local function may_have(agent) return not has_call_coming(agent) end
  bring_back(agent_callbacks, redis.call('ZRANGE', free_agents, 0, -1), batch, may_have)
end
limit = reserve_ready()

if answer.dialed > 0 then
  redis.call('ZADD', queue_campaigns, ledger_ms, campaign)
  if gate.is_probe then redis.call('HSET', api, 'probed_until', ledger_ms + request.deadline_ms) end
  use_rate(rate, answer.dialed)
  if ramp then slots.note(ramp) end
end
if limit == 'calls_per_second' then answer.next_ms = next_call_ms(rate) end
if limit == 'ramp' then answer.next_ms = ramp.next_ms end
if limit == 'trunk_channels' then answer.next_ms = 1000 end -- a call of another queue's campaign may have ended by then

answer.limit = limit
local encoded = reply()
if answer.dialed > 0 or answer.missing then
  redis.call('SET', stored_answer, encoded, 'PX', request.answer_ttl_ms)
end
return encoded
