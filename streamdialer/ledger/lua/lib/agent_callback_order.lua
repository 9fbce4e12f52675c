-- Scores in `ready` of contacts that are set aside for an agent (lib/callback.lua): after all priorities, by
-- the end of their grace time (server's ms).
local SET_ASIDE_FROM = 2 ^ 47
local function set_aside_order(ms) return SET_ASIDE_FROM + ms end

-- Returns the agent's first names in `agent_callbacks`, the callback that was due first before the others.
local function agent_callback_names(agent_callbacks, agent, limit)
  return redis.call('ZRANGEBYLEX', agent_callbacks, '[' .. agent .. ':', '(' .. agent .. ';', 'LIMIT', 0, limit)
end
