-- Whom a due callback is for: the agent who was asked for while the grace time lasts, then anyone.
-- While that agent is not at hand it stands aside, so that the line goes on: in `ready` from KEPT_FROM on, by the end of its
-- grace. `kept` finds those of an agent: a zset of `agent:due:contact`, all of one score; it may hold names too many.

-- The agent the contact is kept for at this instant, nil when anyone may have it.
local function kept_for(record)
  local asked = owed(record)
  if asked and asked.ag and server_ms < asked.gr then return asked.ag end
end

local awaited -- agents for whom a call of the campaign is on its way; looked for only when a callback asks
local function is_awaited(agent)
  if not awaited then
    awaited = {}
    for _, set in ipairs({ reserved, dialing }) do
      for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
        local record = load_record(contact)
        local attempt = record.h[#record.h]
        if attempt.ag then awaited[attempt.ag] = true end
      end
    end
  end
  return awaited[agent] == true
end

-- Whether the agent is free and no other call is on its way to them; if so, the next one is.
local function is_at_hand(agent, free_agents)
  if not redis.call('ZSCORE', free_agents, agent) or is_awaited(agent) then return false end
  awaited[agent] = true
  return true
end

local function count_aside() return redis.call('ZCOUNT', ready, KEPT_FROM, '+inf') end
-- Whoever is not kept any more needs no name to be brought back.
local function is_to_bring_back(agent_callbacks) return count_aside() > 0 or redis.call('EXISTS', agent_callbacks) == 1 end

local function agent_callback_name(contact, record) return string.format('%s:%015.0f:%s', record.cb.ag, record.cb.at, contact) end

-- Puts a contact that is kept for an agent aside; saves the record.
local function set_aside(agent_callbacks, contact, record)
  move(contact, record, 'ready', aside_until(record.cb.gr))
  save_record(contact, record)
  redis.call('ZADD', agent_callbacks, 0, agent_callback_name(contact, record))
end

-- Puts back into the line whoever is no longer kept, and the next one of each agent for whom `may_have` is true; at most
-- `most` of either.
local function bring_back(agent_callbacks, agents, most, may_have)
  local function bring(contact, record)
    to_ready(contact, record)
    save_record(contact, record)
  end
  for _, contact in ipairs(redis.call('ZRANGEBYSCORE', ready, KEPT_FROM, aside_until(server_ms), 'LIMIT', 0, most)) do
    local record = load_record(contact)
    redis.call('ZREM', agent_callbacks, agent_callback_name(contact, record))
    bring(contact, record)
  end
  local brought = 0
  for _, agent in ipairs(agents) do
    if brought == most then break end
    local names = agent_callback_names(agent_callbacks, agent, 10)
    for _, name in ipairs(names[1] and may_have(agent) and names or {}) do
      local contact = string.match(name, '[^:]*$')
      local record = load_record(contact)
      redis.call('ZREM', agent_callbacks, name)
      local order = redis.call('ZSCORE', ready, contact)
      if order and tonumber(order) >= KEPT_FROM and kept_for(record) == agent then
        bring(contact, record)
        brought = brought + 1
        break
      end
    end
  end
  if count_aside() == 0 then redis.call('DEL', agent_callbacks) end
end
