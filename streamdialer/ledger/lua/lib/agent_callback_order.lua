-- Where in `ready` the contacts stand that are kept for an agent (lib/schedule_callback.lua): behind the line, past all priorities,
-- by the end of their grace (server's ms).
local KEPT_FROM = 2 ^ 47
local function aside_until(ms) return KEPT_FROM + ms end

-- The next names in `kept` of an agent, the one that was due first before the others.
local function agent_callback_names(agent_callbacks, agent, most)
  return redis.call('ZRANGEBYLEX', agent_callbacks, '[' .. agent .. ':', '(' .. agent .. ';', 'LIMIT', 0, most)
end
