-- What the agents of a queue are doing: a hash agent -> 't:<since ms>' (talking) or 'w:<since ms>' (in wrap-up); others
-- are absent. A spell that ends is told to the pacing of the queue.

local WORK = { busy = 't', wrapup = 'w' }
local SPELL = { t = 'talk', w = 'wrapup' }
-- Returns true when the agent has begun to talk.
local function note_work(agent_activity, agent, state, at, observations, learning)
  local stored = redis.call('HGET', agent_activity, agent)
  local was, since = nil, nil
  if stored then was, since = string.sub(stored, 1, 1), tonumber(string.sub(stored, 3)) end
  local is = WORK[state]
  if is == was then return false end
  if was then saw(observations, learning, SPELL[was], at, at - since, '') end
  if is then
    redis.call('HSET', agent_activity, agent, is .. ':' .. string.format('%.0f', at))
    redis.call('PEXPIRE', agent_activity, 86400000) -- a queue nobody dials any more
  else
    redis.call('HDEL', agent_activity, agent)
  end
  return is == 't'
end
