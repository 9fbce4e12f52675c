-- Reserves the next contacts of a campaign and appends one entry per reserved call to `calls`, in one step.
-- Everything that may forbid a call is checked here: status, window, holds, silence, agents, levels, concurrency, trunk, pace.
-- KEYS 1–20 of the campaign, 21 answer of this token, 22 calls, 23 api, 24 queue's free agents, 25 queue's campaigns,
--   26 queue's busy agents, 27 numbers not to be called, 28 recent calls, 29 trunks, then reserved and unanswered of each
--   other campaign of the queue, then reserved, unanswered and connected of each other campaign on the trunk
-- ARGV campaign, token, level, free agents the level was decided for, calls per agent, max concurrent calls,
--   batch, lease ms, open until ms ('' = no end), max attempts, retry plan JSON, events required ('1'),
--   answer kept ms, deadline after sending ms, level of the queue ('' = as its free agents allow), ms after which a ready
--   contact is looked up, hours of each zone set ('' = any), caps JSON ('' = none), pace JSON, then id and calls per agent
--   of each other campaign, in the order of KEYS
-- Returns JSON {reason?, dialed, free, unanswered, live, ready, waiting, in_doubt, limit, steps: [[limit, room before it, room
--   after it]]?, skipped, why?, stale?, wait_ms?, missing?, next_ms?, wall}; reason "queue_changed": the campaigns of the queue are not those passed, ask again; "trunk_changed":
--   the same of the trunk; next_ms: when its pace or its trunk may allow another call; stale: contacts passed over to
--   be looked up; missing: the next contacts need hours that were not passed, ask again with them
-- uses: clock memory campaign outbox numbers retry attempts suppression hours recent pace gate refusal reserve callback
local given_answer, calls, api, free_agents, queue_campaigns, busy_agents, listed, recent, trunks = unpack(KEYS, 21, 29)
local token, level, agents_seen, per_agent = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local max_concurrent, batch, lease_ms, open_until = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local max_attempts, plan, events_required = tonumber(ARGV[10]), ARGV[11], ARGV[12] == '1'
local answer_ms, deadline_ms, queue_level = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local ready_max_age_ms, hours = tonumber(ARGV[16]), read_hours(ARGV[17])

local given = redis.call('GET', given_answer)
if given then return given end

local gate = look_at_gate(api, open_until, events_required, deadline_ms)

local function placed() return count(reserved) + count(unanswered) end

local next_ms, steps
-- passed: {skipped = how many, by reason?, why = of the first of each reason?, stale?}
local function reply(reason, dialed, limit, passed, missing)
  passed = passed or {}
  local unanswered_now = placed()
  local answer = cjson.encode({
    reason = reason, dialed = dialed, limit = limit,
    steps = steps, skipped = passed.skipped or nil, why = passed.why or nil, stale = passed.stale or nil,
    free = count(free_agents), unanswered = unanswered_now, live = unanswered_now + count(connected),
    ready = count(ready), waiting = count(waiting), in_doubt = count(in_doubt), now = now,
    wall = wall, missing = missing, wait_ms = gate.wait_ms, next_ms = next_ms,
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
local too_many = math.max(0, math.ceil((agents_seen - agents_left) * per_agent - 1e-9))
level = level - too_many
for i = 20, #ARGV, 2 do
  local at = 30 + i - 20
  local its_calls = count(KEYS[at]) + count(KEYS[at + 1])
  passed[ARGV[i]] = true
  others_placed = others_placed + its_calls
  agents_left = agents_left - its_calls / tonumber(ARGV[i + 1])
end
for _, member in ipairs(redis.call('ZRANGE', queue_campaigns, 0, -1)) do
  if member ~= campaign and not passed[member] then return reply('queue_changed', 0) end
end

local pace = look_at_pace(trunks, ARGV[19], 30 + #ARGV - 19)
if pace.is_changed then return reply('trunk_changed', 0) end

local in_flight = placed()
local room, limit = level - in_flight, 'level'
steps = {}
local function at_most(number, name)
  if number == math.huge then return end
  steps[#steps + 1] = { name, room, math.min(number, room) }
  if number < room then room, limit = number, name end
end
if queue_level then
  at_most(queue_level - too_many - others_placed - in_flight, 'queue')
else
  at_most(math.floor(agents_left * per_agent + 1e-9) - in_flight, 'agents')
end
at_most(max_concurrent - in_flight - count(connected), 'concurrency')
at_most(pace.lines, 'trunk_lines')
at_most(pace.calls, 'calls_per_second')
if gate.is_probe then at_most(1, 'probe') end -- after a rest, one call finds out whether the API is well
at_most(batch, 'batch')

keep_plan(plan)
local caps = keep_caps(recent, ARGV[18])
local terms = { calls = calls, lease_ms = lease_ms, deadline_ms = deadline_ms }
local skipped, why, dialed, passed_over, kept, missing = {}, {}, 0, 0, 0, nil
-- Passed over and still ready: the backend has not shown them as pending for long. Those it has no news of are looked up.
local STALE_AT_ONCE, unconfirmed, stale = 200, 0, {}
while dialed < room do
  local contact = redis.call('ZRANGE', ready, kept + unconfirmed, kept + unconfirmed)[1]
  if not contact or unconfirmed == STALE_AT_ONCE then
    limit = unconfirmed > 0 and 'unconfirmed' or 'no_contacts'
    break
  end
  local record = load_record(contact)
  local opening = opening_of(hours, contact, record)
  if not opening then
    limit, missing = 'hours', missing_hours(hours, kept + unconfirmed, batch)
    break
  end
  local refused, agent = refusal(contact, record, max_attempts, listed, opening, recent, caps), kept_for(record)
  if refused then
    skipped[refused.reason] = (skipped[refused.reason] or 0) + 1
    why[refused.reason] = why[refused.reason] or refused.detail
    passed_over = passed_over + 1
    pass_over(contact, record, refused)
    if passed_over >= batch then break end
  elseif is_stale(record, ready_max_age_ms) then
    unconfirmed = unconfirmed + 1
    if redis.call('HEXISTS', outbox, contact) == 0 then stale[#stale + 1] = contact end
  elseif agent and not is_at_hand(agent, free_agents) then
    kept = kept + 1
    skipped.agent_not_free = kept
    if kept >= batch then break end
  else
    dialed = dialed + 1
    reserve(contact, record, terms, earlier(open_until, opening.u), token .. '/' .. dialed, agent)
  end
end
if dialed > 0 then
  redis.call('ZADD', queue_campaigns, now, campaign)
  if gate.is_probe then redis.call('HSET', api, 'probed', now) end
  take_pace(pace, dialed)
end

if limit == 'calls_per_second' then next_ms = next_call_ms(pace) end
if limit == 'trunk_lines' then next_ms = 1000 end -- a call of another queue's campaign may have ended
if unconfirmed > 0 then skipped.unconfirmed = unconfirmed end
local passed = { skipped = next(skipped) and skipped, why = next(why) and why, stale = #stale > 0 and stale }
local answer = reply(nil, dialed, limit, passed, missing)
if dialed > 0 or missing then redis.call('SET', given_answer, answer, 'PX', answer_ms) end
return answer
