-- Where in `ready` the contacts stand that are kept for an agent (lib/callback.lua): behind the line, past all priorities,
-- by the end of their grace (server's ms).
local KEPT_FROM = 2 ^ 47
local function aside_until(ms) return KEPT_FROM + ms end

-- The next names in `kept` of an agent, the one that was due first before the others.
local function agent_callback_names(agent_callbacks, agent, most)
  return redis.call('ZRANGEBYLEX', agent_callbacks, '[' .. agent .. ':', '(' .. agent .. ';', 'LIMIT', 0, most)
end

-- Ready contacts that may be placed: of the callbacks that stand aside, one for each free agent, and those past their grace.
local function count_placeable(ready, agent_callbacks, free_agents, server_ms)
  local aside = redis.call('ZCOUNT', ready, '(' .. aside_until(server_ms), '+inf')
  if aside > 0 then
    for _, agent in ipairs(redis.call('ZRANGE', free_agents, 0, -1)) do
      aside = aside - #agent_callback_names(agent_callbacks, agent, 1)
    end
  end
  return redis.call('ZCARD', ready) - math.max(0, aside)
end
