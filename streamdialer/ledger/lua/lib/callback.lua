-- Which agent may have a due callback: the requested agent during the grace time, then any agent. While that agent is
-- not free, the contact is set aside so that the claim goes on with others: it stays in `ready`, with a score
-- from SET_ASIDE_FROM on, by the end of its grace time. `agent_callbacks` finds the contacts of an agent: a
-- sorted set of `agent:due:contact`, all with one score. It may hold names that are out of date.

-- Returns the agent who alone may have the contact now, or nil.
local function callback_agent(record)
  local callback = open_callback(record)
  if callback and callback.ag and server_ms < callback.gr then return callback.ag end
end

-- Whether a call of any campaign is on its way to the agent (hold_line in lib/campaign.lua).
local function has_call_coming(agent) return redis.call('HEXISTS', calls_up, '@' .. agent) == 1 end

local function may_have_call(agent, free_agents)
  return redis.call('ZSCORE', free_agents, agent) and not has_call_coming(agent)
end

local function count_set_aside() return redis.call('ZCOUNT', ready, SET_ASIDE_FROM, '+inf') end
-- A contact whose grace time is over comes back without a name in `agent_callbacks`.
local function has_set_aside(agent_callbacks)
  return count_set_aside() > 0 or redis.call('EXISTS', agent_callbacks) == 1
end

local function agent_callback_name(contact, record)
  return string.format('%s:%015.0f:%s', record.cb.ag, record.cb.at, contact)
end

-- Sets a contact aside for its agent. Saves the record.
local function set_aside(agent_callbacks, contact, record)
  set_state(contact, record, 'ready', set_aside_order(record.cb.gr))
  save_record(contact, record)
  redis.call('ZADD', agent_callbacks, 0, agent_callback_name(contact, record))
end

-- Brings back contacts whose grace time is over, and the next contact of each agent for whom `may_have` is
-- true; at most `limit` of either.
local function bring_back(agent_callbacks, agents, limit, may_have)
  local function bring(contact, record)
    make_ready(contact, record)
    save_record(contact, record)
  end
  local over = redis.call('ZRANGEBYSCORE', ready, SET_ASIDE_FROM, set_aside_order(server_ms), 'LIMIT', 0, limit)
  for _, contact in ipairs(over) do
    local record = load_record(contact)
    if is_in_state('ready', contact, record) then
      redis.call('ZREM', agent_callbacks, agent_callback_name(contact, record))
      bring(contact, record)
    end
  end
  local brought = 0
  for _, agent in ipairs(agents) do
    if brought == limit then break end
    local names = agent_callback_names(agent_callbacks, agent, 10)
    for _, name in ipairs(names[1] and may_have(agent) and names or {}) do
      local contact = string.match(name, '[^:]*$')
      local record = load_record(contact)
      redis.call('ZREM', agent_callbacks, name)
      local order = redis.call('ZSCORE', ready, contact)
      local is_ready = order and is_in_state('ready', contact, record)
      if is_ready and tonumber(order) >= SET_ASIDE_FROM and callback_agent(record) == agent then
        bring(contact, record)
        brought = brought + 1
        break
      end
    end
  end
  if count_set_aside() == 0 then redis.call('DEL', agent_callbacks) end
end
