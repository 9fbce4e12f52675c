-- Reserves the next contacts of a campaign and appends one entry per reserved call to `calls`, in one step.
-- Everything that may forbid a call is checked here: status, window, holds, silence, agents, levels, concurrency, trunk, pace.
-- KEYS 1–20 of the campaign, 21 answer of this token, 22 calls, 23 api, 24 queue's free agents, 25 queue's campaigns,
--   26 queue's busy agents, 27 numbers not to be called, 28 recent calls, 29 trunks, 30 callbacks kept for agents, then reserved
--   and unanswered of each other campaign of the queue, then reserved, unanswered and connected of each other campaign on
--   the trunk
-- ARGV campaign, JSON {token, level, free = free agents the level was decided for, per_agent = calls per agent, most_live = max
--   concurrent calls, batch, lease_ms, open_until = ms, '' = no end, max_attempts, plan = retry plan JSON, events_required,
--   answer_ms = how long the answer is kept, deadline_ms = after sending, queue_level? (as its free agents allow), max_age_ms = after
--   which a ready contact is looked up, hours? = of each zone set (none: any), hours_mark (`rules/calling.py`), caps = JSON, '' =
--   none, pace, others = {{id, calls per agent}, …} of the other campaigns of the queue, in the order of KEYS, trace =
--   `traceparent`, '' = none}
-- Returns JSON {reason?, dialed, free, unanswered, live, ready, waiting, orphaned, limit, steps: [[limit, room before it, room
--   after it]]?, skipped, why?, stale?, wait_ms?, missing?, next_ms?, again, wall}; reason "queue_changed": the campaigns of the queue are not those passed, ask again; "trunk_changed":
--   the same of the trunk; next_ms: when its pace or its trunk may allow another call, or the line is to be looked at
--   further; stale: contacts passed over to be looked up; missing: the next contacts need hours that were not passed, ask
--   again with them; again: contacts that were put off are to be looked at again (recheck_deferred.lua)
-- uses: clock data_loss campaign outbox phone_rotation retry attempts suppression hours call_history recheck rate_limit campaign_gate eligibility reserve agent_callback_order callback
local given_answer, calls, api, free_agents, queue_campaigns, busy_agents, listed, call_history, trunks, agent_callbacks = unpack(KEYS, 21, 30)
local wanted = cjson.decode(ARGV[2])
local level, per_agent, batch, hours = wanted.level, wanted.per_agent, wanted.batch, wanted.hours

local given = redis.call('GET', given_answer)
if given then return given end

local gate = look_at_gate(api, wanted.open_until, wanted.events_required, wanted.deadline_ms)

local function placed() return count(reserved) + count(dialing) end

local next_ms, again, steps
-- passed: {skipped = how many, by reason?, why = of the first of each reason?, stale?}
local function reply(reason, dialed, limit, passed, missing)
  passed = passed or {}
  local unanswered_now = placed()
  local answer = cjson.encode({
    reason = reason, dialed = dialed, limit = limit,
    steps = steps, skipped = passed.skipped or nil, why = passed.why or nil, stale = passed.stale or nil,
    free = count(free_agents), dialing = unanswered_now, live = unanswered_now + count(connected),
    ready = count(ready), deferred = count(deferred), orphaned = count(orphaned), ledger_ms = ledger_ms,
    server_ms = server_ms, missing = missing, wait_ms = gate.wait_ms, next_ms = next_ms, again = again,
  })
  publish()
  if redis.call('HEXISTS', directory, campaign) == 1 then
    redis.call('HSET', campaign_key, 'available_agents', count(free_agents), 'busy_agents', count(busy_agents))
  end
  return answer
end

if gate.closed then return reply(gate.closed, 0) end
if not redis.call('ZSCORE', queue_campaigns, campaign) then return reply('queue_changed', 0) end

-- The queue's agents, less what the other campaigns' calls already use of them.
local passed, agents_left, others_placed = {}, count(free_agents), 0
local too_many = math.max(0, math.ceil((wanted.free - agents_left) * per_agent - 1e-9))
level = level - too_many
for i, other in ipairs(wanted.others) do
  local its_calls = count(KEYS[29 + 2 * i]) + count(KEYS[30 + 2 * i])
  passed[other[1]] = true
  others_placed = others_placed + its_calls
  agents_left = agents_left - its_calls / other[2]
end
for _, member in ipairs(redis.call('ZRANGE', queue_campaigns, 0, -1)) do
  if member ~= campaign and not passed[member] then return reply('queue_changed', 0) end
end

local pace = look_at_pace(trunks, wanted.pace, 31 + 2 * #wanted.others)
if pace.is_changed then return reply('trunk_changed', 0) end

local in_flight = placed()
local room, limit = level - in_flight, 'level'
steps = {}
local function at_most(number, name)
  if number == math.huge then return end
  steps[#steps + 1] = { name, room, math.min(number, room) }
  if number < room then room, limit = number, name end
end
if wanted.queue_level then
  at_most(wanted.queue_level - too_many - others_placed - in_flight, 'queue')
else
  at_most(math.floor(agents_left * per_agent + 1e-9) - in_flight, 'agents')
end
at_most(wanted.most_live - in_flight - count(connected), 'concurrency')
at_most(pace.lines, 'trunk_channels')
at_most(pace.calls, 'calls_per_second')
if gate.is_probe then at_most(1, 'probe') end -- after a rest, one call finds out whether the API is well
at_most(batch, 'batch')

keep_plan(wanted.plan)
local caps = keep_caps(call_history, wanted.caps)
again = keep_hours(wanted.hours_mark)
local terms = { calls = calls, lease_ms = wanted.lease_ms, deadline_ms = wanted.deadline_ms, trace = wanted.trace }
local skipped, why, dialed, passed_over, missing = {}, {}, 0, 0, nil
-- Passed over and still ready: the backend has not shown them as pending for long. Those it has no news of are looked up.
local STALE_AT_ONCE, needs_verification, stale = 200, 0, {}
if room > 0 and is_to_bring_back(agent_callbacks) then
  bring_back(agent_callbacks, redis.call('ZRANGE', free_agents, 0, -1), batch, function(agent) return not is_awaited(agent) end)
end
while dialed < room do
  local contact, order = unpack(redis.call('ZRANGE', ready, needs_verification, needs_verification, 'WITHSCORES'))
  if not contact or tonumber(order) >= KEPT_FROM or needs_verification == STALE_AT_ONCE then
    limit = needs_verification > 0 and 'needs_verification' or 'no_contacts'
    break
  end
  local record = load_record(contact)
  local opening = opening_of(hours, contact, record)
  if not opening then
    limit, missing = 'hours', missing_hours(hours, needs_verification, batch)
    break
  end
  local refused, agent = refusal(contact, record, wanted.max_attempts, listed, opening, call_history, caps), kept_for(record)
  if refused then
    skipped[refused.reason] = (skipped[refused.reason] or 0) + 1
    why[refused.reason] = why[refused.reason] or refused.detail
    passed_over = passed_over + 1
    pass_over(contact, record, refused)
  elseif agent and not is_at_hand(agent, free_agents) then
    passed_over = passed_over + 1
    set_aside(agent_callbacks, contact, record)
  elseif is_stale(record, wanted.max_age_ms) then
    needs_verification = needs_verification + 1
    if redis.call('HEXISTS', outbox, contact) == 0 then stale[#stale + 1] = contact end
  else
    dialed = dialed + 1
    reserve(contact, record, terms, earlier(wanted.open_until, opening.u), wanted.token .. '/' .. dialed, agent)
  end
  if passed_over >= batch then
    next_ms = 0
    break
  end
end
if dialed > 0 then
  redis.call('ZADD', queue_campaigns, ledger_ms, campaign)
  if gate.is_probe then redis.call('HSET', api, 'probed', ledger_ms) end
  take_pace(pace, dialed)
end

if limit == 'calls_per_second' then next_ms = next_call_ms(pace) end
if limit == 'trunk_channels' then next_ms = 1000 end -- a call of another queue's campaign may have ended
if needs_verification > 0 then skipped.needs_verification = needs_verification end
local aside = count_aside()
if aside > 0 then skipped.agent_not_free = aside end
local passed = { skipped = next(skipped) and skipped, why = next(why) and why, stale = #stale > 0 and stale }
local answer = reply(nil, dialed, limit, passed, missing)
if dialed > 0 or missing then redis.call('SET', given_answer, answer, 'PX', wanted.answer_ms) end
return answer
