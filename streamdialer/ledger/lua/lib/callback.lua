-- Whom a due callback is for: the agent who was asked for while the grace time lasts, then anyone.

-- The agent the contact is kept for at this instant, nil when anyone may have it.
local function kept_for(record)
  local asked = owed(record)
  if asked and asked.ag and wall < asked.gr then return asked.ag end
end

local awaited -- agents for whom a call of the campaign is on its way; looked for only when a callback asks
-- Whether the agent is free and no other call is on its way to them; if so, the next one is.
local function is_at_hand(agent, free_agents)
  if not redis.call('ZSCORE', free_agents, agent) then return false end
  if not awaited then
    awaited = {}
    for _, set in ipairs({ reserved, unanswered }) do
      for _, contact in ipairs(redis.call('ZRANGE', set, 0, -1)) do
        local record = load_record(contact)
        local attempt = record.h[#record.h]
        if attempt.ag then awaited[attempt.ag] = true end
      end
    end
  end
  if awaited[agent] then return false end
  awaited[agent] = true
  return true
end
