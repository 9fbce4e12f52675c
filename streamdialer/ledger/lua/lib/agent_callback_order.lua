-- Scores in `ready` of contacts that are set aside for an agent (lib/callback.lua): after all priorities, by
-- the end of their grace time (server's ms).
local SET_ASIDE_FROM = 2 ^ 47
local function set_aside_order(ms) return SET_ASIDE_FROM + ms end

-- Returns the agent's first names in `agent_callbacks`, the callback that was due first before the others.
local function agent_callback_names(agent_callbacks, agent, limit)
  return redis.call('ZRANGEBYLEX', agent_callbacks, '[' .. agent .. ':', '(' .. agent .. ';', 'LIMIT', 0, limit)
end

-- Counts the ready contacts that may be placed: of those set aside within their grace time, one per free agent.
local function count_placeable(ready, agent_callbacks, free_agents, server_ms)
  local set_aside = redis.call('ZCOUNT', ready, '(' .. set_aside_order(server_ms), '+inf')
  if set_aside > 0 then
    for _, agent in ipairs(redis.call('ZRANGE', free_agents, 0, -1)) do
      set_aside = set_aside - #agent_callback_names(agent_callbacks, agent, 1)
    end
  end
  return redis.call('ZCARD', ready) - math.max(0, set_aside)
end
