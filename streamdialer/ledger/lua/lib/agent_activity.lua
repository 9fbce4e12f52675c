-- What the agents of a queue do: a hash agent -> 't:<since ms>' (talking) or 'w:<since ms>' (in wrap-up).
-- Other agents are not in it. The end of an activity is an observation for the queue's pacing.

local ACTIVITY_CODES = { busy = 't', wrapup = 'w' }
local OBSERVATION_OF = { t = 'talk', w = 'wrapup' }
-- Notes the agent's state. Returns true when the agent has begun to talk.
local function set_activity(agent_activity, agent, state, at, observations, learning)
  local stored = redis.call('HGET', agent_activity, agent)
  local old, since = nil, nil
  if stored then old, since = string.sub(stored, 1, 1), tonumber(string.sub(stored, 3)) end
  local new = ACTIVITY_CODES[state]
  if new == old then return false end
  if old then add_observation(observations, learning, OBSERVATION_OF[old], at, at - since, '') end
  if new then
    redis.call('HSET', agent_activity, agent, new .. ':' .. string.format('%.0f', at))
    redis.call('PEXPIRE', agent_activity, 86400000) -- a queue that is no longer dialed
  else
    redis.call('HDEL', agent_activity, agent)
  end
  return new == 't'
end
