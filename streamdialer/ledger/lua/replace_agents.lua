-- Takes over the backend's list of a queue's agents: who stands in the queue, and their states as far as nothing
-- better is known. A list may lag. It does not change what an event has said of an agent, nor frees an agent whose
-- call is up, unless it has contradicted for longer than agents are distrusted.
-- A long list comes in parts: the last one takes the agents out who are no longer listed, 500 at a time, and makes the
-- list count as read. While a newer list comes, parts of an older one change nothing.
-- KEYS 1 agents, 2 agent calls, 3 shared agents, then per queue passed the keys of `Keys.of_agents_in`
-- ARGV queue, when the list was requested (ledger ms), how long the list is distrusted ms, the agents of this part
--   (JSON object id -> 'available' | 'busy' | 'wrapup' | 'offline'), with the last part all ids of the list (JSON list;
--   '' with the others), queues passed (JSON list)
-- Returns {"ok"} · {"more"} more agents are to be taken out: the last part again · {"stale"} a list requested later is already here · {"queues", name…} their keys are needed, too
-- uses: bounded_stream observations agent_activity agents
local queue, asked_ms, distrust_ms, all_ids = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5]
use_agents(1, ARGV[6])
local sets = queue_sets[queue]
for _, field in ipairs({ 'polled', 'polling' }) do
  if tonumber(redis.call('HGET', sets.state, field) or 0) > asked_ms then return { 'stale' } end
end

local listed, names, set_of = cjson.decode(ARGV[4]), {}, {}
for agent in pairs(listed) do names[#names + 1] = agent end
for _, set in ipairs(#names > 0 and { sets.free, sets.busy } or {}) do
  for i, score in ipairs(redis.call('ZMSCORE', set, unpack(names))) do
    if score then set_of[names[i]] = set end
  end
end
local MOST_REMOVED, removed = 500, 0
if all_ids ~= '' then
  local is_listed = {}
  for _, agent in ipairs(cjson.decode(all_ids)) do is_listed[agent] = true end
  for _, set in ipairs({ sets.free, sets.busy }) do
    for _, agent in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      if not is_listed[agent] then
        removed = removed + 1
        if removed <= MOST_REMOVED then names[#names + 1] = agent end
      end
    end
  end
end
-- Whether the list says nothing new of the agent. Looks at the JSON as text: most agents of most lists need no more.
local function is_settled(agent, raw)
  local state = listed[agent]
  if not raw or not state or string.find(raw, '"d":', 1, true) then return false end
  if set_of[agent] ~= (state == 'available' and sets.free or sets.busy) then return false end
  return string.find(raw, '"s":"' .. state .. '"', 1, true) ~= nil
    or string.find(raw, '"e":', 1, true) ~= nil or string.find(raw, '"c":', 1, true) ~= nil
end

local found, missing = {}, { 'queues' }
for i = 1, #names, 1000 do
  local last = math.min(i + 999, #names)
  for k, raw in ipairs(redis.call('HMGET', agents, unpack(names, i, last))) do
    local agent = names[i + k - 1]
    if not is_settled(agent, raw) then
      found[agent] = raw and cjson.decode(raw) or { q = {}, t = 0 }
      note_missing(missing, found[agent])
    end
  end
end
if #missing > 1 then return missing end

local changed = {}
-- The activity's beginning is not known: when the list was requested at the latest. It is no observation.
local function show_activity(agent, record)
  local code = ACTIVITY_CODES[record.s]
  for _, name in ipairs(record.q) do
    local stored = redis.call('HGET', queue_sets[name].activity, agent)
    if not code then
      if stored then redis.call('HDEL', queue_sets[name].activity, agent) end
    elseif not stored or string.sub(stored, 1, 1) ~= code then
      redis.call('HSET', queue_sets[name].activity, agent, code .. ':' .. ARGV[2])
    end
  end
end

-- A call whose agent was guessed is the call of an agent whom only the list shows as busy.
local free_guesses, busy_others = {}, {}
for agent, record in pairs(found) do
  local state = listed[agent]
  if record.g and state == 'available' and heard_ms(record) <= asked_ms then
    free_guesses[#free_guesses + 1] = agent
  elseif record.s == 'available' and state == 'busy' and heard_ms(record) <= asked_ms then
    busy_others[#busy_others + 1] = agent
  end
end
table.sort(free_guesses)
table.sort(busy_others)
for i = 1, math.min(#free_guesses, #busy_others) do
  local from, to = free_guesses[i], busy_others[i]
  move_call(found[from], to, found[to])
  found[to].t = math.max(found[to].t, asked_ms)
  changed[from], changed[to] = true, true
end

local function believe(agent, record, state)
  if record.s and heard_ms(record) > asked_ms then return end
  local is_known = record.e or record.c
  if record.s and (record.s == 'available') == (state == 'available') then
    changed[agent] = changed[agent] or record.d ~= nil or not is_known and record.s ~= state
    record.d = nil
    if not is_known then record.s = state end
  elseif record.s and is_known and asked_ms - (record.d or asked_ms) < distrust_ms then
    changed[agent] = changed[agent] or not record.d
    record.d = record.d or asked_ms
  else
    drop_call(record)
    record.s, record.t, record.e, record.d = state, asked_ms, nil, nil
    changed[agent] = true
  end
end

for agent, record in pairs(found) do
  local state, stands_here = listed[agent], false
  for _, name in ipairs(record.q) do stands_here = stands_here or name == queue end
  if state then
    believe(agent, record, state)
    if not stands_here then change_queue(agent, record, queue, true) end
    local is_in_set = set_of[agent] == (record.s == 'available' and sets.free or sets.busy)
    if changed[agent] or not stands_here or not is_in_set then
      save_agent(agent, record)
      show_activity(agent, record)
    end
  elseif heard_ms(record) <= asked_ms then
    change_queue(agent, record, queue, false)
    if #record.q > 0 then
      save_agent(agent, record)
    else
      drop_call(record)
      redis.call('HDEL', agents, agent)
    end
  end
end
local is_whole = all_ids ~= '' and removed <= MOST_REMOVED
redis.call('HSET', sets.state, is_whole and 'polled' or 'polling', ARGV[2])
if not is_whole then return { removed > 0 and 'more' or 'ok' } end
for _, set in pairs({ sets.free, sets.busy, sets.freed, sets.state, sets.activity }) do
  redis.call('PEXPIRE', set, AGENT_TTL_MS)
end
return { 'ok' }
