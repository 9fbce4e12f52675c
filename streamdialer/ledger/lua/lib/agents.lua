-- The agents. An agent has one state, in whatever queue it was heard; the sorted sets of all its queues follow it.
--   agents         hash agent -> JSON: `AgentRecord` in `ledger/records.py`
--   agent_calls    hash attempt id -> agent, for answered calls that are up
--   shared_agents  sorted set of the agents who stand in several queues (lib/shared_agents.lua)
-- A script that changes agents gets the keys of every queue they stand in (`Keys.of_agents_in`). Only the script
-- knows which these are: before it changes anything, it answers {'queues', name…} when some were not passed.
local QUEUE_KEYS = 9
local AGENT_TTL_MS = 86400000 -- a queue that is no longer dialed
local agents, agent_calls, shared_agents, queue_sets

-- KEYS from `first`: agents, agent calls, shared agents, then the keys of each queue in `names` (JSON).
local function use_agents(first, names)
  agents, agent_calls, shared_agents = unpack(KEYS, first, first + 2)
  queue_sets = {}
  for i, name in ipairs(cjson.decode(names)) do
    local at, sets = first + 3 + (i - 1) * QUEUE_KEYS, {}
    sets.free, sets.busy, sets.freed, sets.guessed, sets.state, sets.activity, sets.answer_queue, sets.observations,
      sets.learning = unpack(KEYS, at, at + QUEUE_KEYS - 1)
    queue_sets[name] = sets
  end
end

local function load_agent(agent)
  local raw = redis.call('HGET', agents, agent)
  return raw and cjson.decode(raw) or nil
end

-- Adds to `missing` the queues of an agent whose keys were not passed.
local function note_missing(missing, record)
  for _, queue in ipairs(record and record.q or {}) do
    if not queue_sets[queue] then missing[#missing + 1] = queue end
  end
end

-- Returns when the agent was last heard of: in an event or a call, or in the newest list of its queues.
local function heard_ms(record)
  local newest = record.t
  if record.e then return newest end
  for _, queue in ipairs(record.q) do
    local sets = queue_sets[queue]
    sets.polled = sets.polled or tonumber(redis.call('HGET', sets.state, 'polled') or 0)
    newest = math.max(newest, sets.polled)
  end
  return newest
end

local function shared_name(queue, team, state, agent) return queue .. '\n' .. team .. '\n' .. state .. '\n' .. agent end

local function leave_team(agent, record)
  if #record.q < 2 then return end
  local team = cjson.encode(record.q)
  for _, queue in ipairs(record.q) do
    redis.call('ZREM', shared_agents, shared_name(queue, team, 'f', agent), shared_name(queue, team, 'b', agent))
  end
end

local save_agent
do
  -- Counts the agent's conversations by the hour in which they begin, and their time by the hour in which they end.
  --   ps, sn  the state that is counted, and since when
  --   gs      since when they had the state that they had before a guess
  --   hr      'hour calls ms' for each of the last hours, one after the other
  local KEPT_HOURS = 26 -- more than a day, wherever it begins
  local function count_conversation(record, at)
    if record.ps == record.s then return end
    local calls, talk_ms = record.s == 'busy' and 1 or 0, record.ps == 'busy' and math.max(0, at - record.sn) or 0
    record.ps, record.sn = record.s, at
    if calls == 0 and talk_ms == 0 then return end
    local now, kept = math.floor(at / 3600000), {}
    for hour, its_calls, its_ms in string.gmatch(record.hr or '', '(%d+) (%d+) (%d+)') do
      if tonumber(hour) == now then
        calls, talk_ms = calls + its_calls, talk_ms + its_ms
      elseif tonumber(hour) > now - KEPT_HOURS then
        kept[#kept + 1] = string.format('%d %d %d', hour, its_calls, its_ms)
      end
    end
    kept[#kept + 1] = string.format('%d %d %.0f', now, calls, talk_ms)
    record.hr = table.concat(kept, ' ')
  end

  -- Stores the record, and the agent in the sets of its queues. `at`: when its state has changed (nil: `record.t`).
  function save_agent(agent, record, at)
    count_conversation(record, at or record.t)
    local is_free, score = record.s == 'available', string.format('%.0f', record.t)
    local team = #record.q > 1 and cjson.encode(record.q)
    for _, queue in ipairs(record.q) do
      local sets = queue_sets[queue]
      local set, other = sets.busy, sets.free
      if is_free then set, other = other, set end
      redis.call('ZREM', other, agent)
      redis.call('ZADD', set, score, agent)
      redis.call('PEXPIRE', set, AGENT_TTL_MS)
      for name, is_in in pairs({ freed = is_free and record.e ~= nil, guessed = record.g ~= nil }) do
        if is_in then
          redis.call('ZADD', sets[name], score, agent)
          redis.call('PEXPIRE', sets[name], AGENT_TTL_MS)
        else
          redis.call('ZREM', sets[name], agent)
        end
      end
      if team then
        redis.call('ZADD', shared_agents, 0, shared_name(queue, team, is_free and 'f' or 'b', agent))
        redis.call('ZREM', shared_agents, shared_name(queue, team, is_free and 'b' or 'f', agent))
      end
    end
    redis.call('HSET', agents, agent, cjson.encode(record))
  end
end

-- The agent joins or leaves a queue. The caller saves the record, unless it stands in no queue any more.
local function change_queue(agent, record, queue, joins)
  leave_team(agent, record)
  local queues = {}
  for _, name in ipairs(record.q) do
    if name ~= queue then queues[#queues + 1] = name end
  end
  if joins then
    queues[#queues + 1] = queue
  else
    local sets = queue_sets[queue]
    for _, set in ipairs({ sets.free, sets.busy, sets.freed, sets.guessed }) do redis.call('ZREM', set, agent) end
    redis.call('HDEL', sets.activity, agent)
  end
  table.sort(queues)
  record.q = queues
end

-- The functions below change a record; the caller saves it.

local function drop_call(record)
  if record.c then redis.call('HDEL', agent_calls, record.c) end
  record.c, record.g, record.gs = nil, nil, nil
end

-- Notes that the agent has the call. `is_guess`: no event has named the agent.
local function give_call(agent, record, attempt, is_guess)
  drop_call(record)
  record.s, record.c, record.g, record.d = 'busy', attempt, is_guess and 1 or nil, nil
  record.gs = is_guess and record.sn or nil
  redis.call('HSET', agent_calls, attempt, agent)
end

-- The guess was wrong: the call is another agent's.
local function move_call(from_record, agent, record)
  local attempt = from_record.c
  if from_record.ps == 'busy' then -- the conversation that was counted last
    from_record.ps, from_record.sn = 'available', from_record.gs or from_record.sn
    from_record.hr = string.gsub(from_record.hr or '', '(%d+) (%d+)$', function(calls, ms)
      return math.max(0, calls - 1) .. ' ' .. ms
    end)
  end
  from_record.s, from_record.c, from_record.g, from_record.gs, from_record.d = 'available', nil, nil, nil, nil
  give_call(agent, record, attempt, true)
end

-- Notes in all queues of the agent what it does. Returns true when it has begun to talk.
local function note_activity(agent, record, at)
  local begins = false
  for _, queue in ipairs(record.q) do
    local sets = queue_sets[queue]
    begins = set_activity(sets.activity, agent, record.s, at, sets.observations, sets.learning) or begins
  end
  return begins
end
