-- Takes over a list of a queue's agents: who stands in the queue, and their states as far as nothing better is known.
-- The backend's list may lag. It does not change what an event has said of an agent, nor frees an agent whose call is
-- up, unless it has contradicted for longer than agents are distrusted. While a list of the telephone system is fresh
-- (note_queue_list.lua), the backend's changes nothing.
-- The list of the telephone system says what was so when it was written, as an event does. It also frees an agent whose
-- call the ledger thinks to be up.
-- A long list comes in parts: the last one takes the agents out who are no longer listed, 250 at a time, and makes the
-- list count as read. While a newer list comes, parts of an older one change nothing.
-- KEYS 1 queue's lists, 2 agents, 3 agent calls, 4 shared agents, then per queue passed the keys of `Keys.of_agents_in`
-- ARGV queue, when the backend's list was requested or the telephone system's was written (ledger ms), how long the
--   backend's list is distrusted ms, the agents of this part (JSON object id -> 'available' | 'busy' | 'wrapup' |
--   'offline'), with the last part all ids of the list (JSON list; '' with the others), the event source ('' = the
--   backend's list), queues passed (JSON list)
-- Returns {"ok", how many agents became free} · {"more"} more agents are to be taken out: the last part again ·
--   {"stale"} a newer list is already here · {"outranked"} · {"queues", name…} their keys are needed, too
-- uses: bounded_stream observations agent_activity agents agent_lists
local queue, asked_ms, distrust_ms, all_ids, source = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5], ARGV[6]
use_agents(2, ARGV[7])
local sets, is_backends = queue_sets[queue], source == ''
if is_backends then
  for _, field in ipairs({ 'polled', 'polling' }) do
    if tonumber(redis.call('HGET', sets.state, field) or 0) > asked_ms then return { 'stale' } end
  end
  if is_telephones_fresh(sets.state, asked_ms) then
    redis.call('HSET', sets.state, 'polled', ARGV[2])
    return { 'outranked' }
  end
elseif (read_list(redis.call('HGET', KEYS[1], source)) or 0) > asked_ms then
  return { 'stale' }
end

local listed, names, set_of = cjson.decode(ARGV[4]), {}, {}
for agent in pairs(listed) do names[#names + 1] = agent end
for _, set in ipairs(#names > 0 and { sets.free, sets.busy } or {}) do
  for i, score in ipairs(redis.call('ZMSCORE', set, unpack(names))) do
    if score then set_of[names[i]] = set end
  end
end
local MOST_REMOVED, removed = 250, 0
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
  local is_same, is_said = string.find(raw, '"s":"' .. state .. '"', 1, true), string.find(raw, '"e":', 1, true)
  if not is_backends then return is_same and is_said and not string.find(raw, '"g":', 1, true) end
  return is_same or is_said or string.find(raw, '"c":', 1, true)
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
      redis.call('PEXPIRE', queue_sets[name].activity, AGENT_TTL_MS)
    end
  end
end

-- When the list's word on the agent is outdated by what was heard.
local function is_outdated(record)
  if is_backends then return heard_ms(record) > asked_ms end
  return (record.e or record.c) and record.t > asked_ms
end

-- A call whose agent was guessed is the call of an agent whom only the list shows as busy.
local free_guesses, busy_others = {}, {}
for agent, record in pairs(found) do
  local state = listed[agent]
  if record.g and state == 'available' and not is_outdated(record) then
    free_guesses[#free_guesses + 1] = agent
  elseif record.s == 'available' and state == 'busy' and not is_outdated(record) then
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

local freed, taken_out = 0, 0
local function believe_telephones(agent, record, state)
  if record.s == state and record.e and not (record.d or record.g) then return end
  if record.s ~= 'available' and state == 'available' then freed = freed + 1 end
  if state ~= 'busy' then drop_call(record) end
  record.s, record.t, record.e, record.d, record.g = state, asked_ms, 1, nil, nil
  changed[agent] = true
end

local function believe(agent, record, state)
  if record.s and is_outdated(record) then return end
  if not is_backends then return believe_telephones(agent, record, state) end
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
      save_agent(agent, record, asked_ms)
      show_activity(agent, record)
    end
  elseif not is_outdated(record) then
    change_queue(agent, record, queue, false)
    taken_out = taken_out + 1
    if #record.q > 0 then
      save_agent(agent, record, asked_ms)
    else
      drop_call(record)
      redis.call('HDEL', agents, agent)
    end
  end
end
-- An agent of whom something newer was heard stays in the queue. When nobody was taken out, the same list would change
-- nothing more.
local is_whole = all_ids ~= '' and (removed <= MOST_REMOVED or taken_out == 0)
if is_backends then redis.call('HSET', sets.state, is_whole and 'polled' or 'polling', ARGV[2]) end
if not is_whole then return { removed > 0 and 'more' or 'ok', freed } end
for _, set in pairs({ sets.free, sets.busy, sets.freed, sets.state, sets.activity }) do
  redis.call('PEXPIRE', set, AGENT_TTL_MS)
end
return { 'ok', freed }
