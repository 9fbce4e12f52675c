-- How many of its free agents a queue may use. An agent who stands in several queues counts once: an unanswered call
-- of another queue may use the agent up, and so may the agents that another queue keeps free for incoming calls.
--   shared_agents  sorted set, all with one score, of `queue\nteam\nstate\nagent` for each queue of an agent who
--                  stands in several: `team` are all their queues (JSON list), `state` is f (free) or b (other).
-- The calls of all queues are assigned to agents as in a bipartite matching. It does not matter which call an agent
-- gets in the end: only how many calls can get one. Nothing of it is stored.
local sharing_queues, usable_agents
do
  local EPSILON = 1e-9

  -- Returns the first member of `shared_agents` after `from`, of those that begin with `prefix`.
  local function next_member(shared_agents, from, prefix)
    return redis.call('ZRANGEBYLEX', shared_agents, from, '(' .. prefix .. '\v', 'LIMIT', 0, 1)[1]
  end

  -- Returns the teams of the queue: JSON -> {queues, left = free agents, used = {queue = agents}}. Adds new ones to `teams`.
  local function read_teams(shared_agents, queue, teams)
    local found, prefix = {}, queue .. '\n'
    local member = next_member(shared_agents, '[' .. prefix, queue)
    while member do
      local key = string.match(member, '^[^\n]*', #prefix + 1)
      if not teams[key] then
        local free = prefix .. key .. '\nf'
        local left = redis.call('ZLEXCOUNT', shared_agents, '[' .. free .. '\n', '(' .. free .. '\v')
        teams[key] = { queues = cjson.decode(key), left = left, used = {} }
      end
      found[#found + 1] = teams[key]
      member = next_member(shared_agents, '(' .. prefix .. key .. '\v', queue)
    end
    return found
  end

  -- Returns the queue and those that share agents with it, directly or over further queues; and the teams of each.
  function sharing_queues(shared_agents, queue)
    local queues, position, is_listed, teams, teams_of = { queue }, 1, { [queue] = true }, {}, {}
    while queues[position] do
      local name = queues[position]
      teams_of[name] = read_teams(shared_agents, name, teams)
      for _, team in ipairs(teams_of[name]) do
        for _, other in ipairs(team.queues) do
          if not is_listed[other] then
            is_listed[other] = true
            queues[#queues + 1] = other
          end
        end
      end
      position = position + 1
    end
    return queues, teams_of
  end

  -- Assigns agents to `amount` calls (in agents) of the queue; where needed, calls of other queues get other agents.
  -- Returns how many found one.
  local function assign(teams_of, queue, amount, is_visited)
    local assigned = 0
    local function take(team, agents)
      team.used[queue] = (team.used[queue] or 0) + agents
      assigned = assigned + agents
    end
    for _, team in ipairs(teams_of[queue]) do
      local agents = math.min(team.left, amount - assigned)
      if agents > EPSILON then
        team.left = team.left - agents
        take(team, agents)
      end
    end
    for _, team in ipairs(teams_of[queue]) do
      for _, other in ipairs(not is_visited[team] and team.queues or {}) do
        local agents = math.min(team.used[other] or 0, amount - assigned)
        if other ~= queue and agents > EPSILON then
          is_visited[team] = true
          local moved = assign(teams_of, other, agents, is_visited)
          team.used[other] = team.used[other] - moved
          take(team, moved)
        end
      end
    end
    return assigned
  end

  local function assign_all(teams_of, queue, amount)
    local assigned = 0
    repeat
      local more = assign(teams_of, queue, amount - assigned, {})
      assigned = assigned + more
    until more <= EPSILON or amount - assigned <= EPSILON
    return assigned
  end

  -- Returns the number of free agents the queue may use, whole. KEYS from `first` are those of `Keys.of_sharing`;
  -- `sharing` is its list {{queue, {campaign, …}}, …}. `counts_listed` false: only agents whom an event has freed
  -- count. Returns nil when the queue shares agents with queues, or these have campaigns, that were not passed.
  function usable_agents(first, queue, sharing, counts_listed)
    local shared_agents, free_agents, freed = unpack(KEYS, first, first + 2)
    local free = redis.call('ZCARD', free_agents)
    local function known(usable) return counts_listed and usable or math.min(usable, redis.call('ZCARD', freed)) end
    if redis.call('ZLEXCOUNT', shared_agents, '[' .. queue .. '\n', '(' .. queue .. '\v') == 0 then return known(free) end

    local passed, at = {}, first + 3
    for _, other in ipairs(sharing) do
      passed[other[1]] = { at = at, campaigns = other[2] }
      at = at + 3 + 3 * #other[2]
    end
    local queues, teams_of = sharing_queues(shared_agents, queue)
    local function own_agents(name, count)
      for _, team in ipairs(teams_of[name]) do count = count - team.left end
      return math.max(0, count)
    end
    local own, needs = own_agents(queue, free), {} -- before agents are assigned
    for i = 2, #queues do
      local other = passed[queues[i]]
      if not other then return nil end
      local is_passed, needed, kept, key = {}, 0, 0, other.at
      for k, campaign in ipairs(other.campaigns) do
        is_passed[campaign] = true
        local pacing = redis.call('HGET', KEYS[key + 2], campaign)
        pacing = pacing and pacing ~= '' and cjson.decode(pacing) or {}
        local placed = redis.call('ZCARD', KEYS[key + 3 * k]) + redis.call('ZCARD', KEYS[key + 1 + 3 * k])
        needed = needed + placed / (pacing.calls_per_agent or 1)
        local is_dialed = pacing.is_open and redis.call('HGET', KEYS[key + 2 + 3 * k], 'status') == 'active'
        if is_dialed then kept = math.max(kept, pacing.reserve_agents or 0) end
      end
      for _, campaign in ipairs(redis.call('ZRANGE', KEYS[key + 1], 0, -1)) do
        if not is_passed[campaign] then return nil end
      end
      needs[i] = needed + kept - own_agents(queues[i], redis.call('ZCARD', KEYS[key]))
    end
    for i = 2, #queues do
      if needs[i] > EPSILON then assign_all(teams_of, queues[i], needs[i]) end
    end
    local usable = own + assign_all(teams_of, queue, free)
    return known(math.floor(usable + 1e-6))
  end
end
