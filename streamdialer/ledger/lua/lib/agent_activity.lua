-- What the agents of a queue are doing: a hash agent -> 't:<since ms>' (talking) or 'w:<since ms>' (in wrap-up); others
-- are absent. A spell that ends is told to the pacing of the queue.

local WORK = { busy = 't', wrapup = 'w' }
local SPELL = { t = 'talk', w = 'wrapup' }
-- Returns true when the agent has begun to talk.
local function note_work(work, agent, state, at, seen, learning)
  local kept = redis.call('HGET', work, agent)
  local was, since = nil, nil
  if kept then was, since = string.sub(kept, 1, 1), tonumber(string.sub(kept, 3)) end
  local is = WORK[state]
  if is == was then return false end
  if was then saw(seen, learning, SPELL[was], at, at - since, '') end
  if is then
    redis.call('HSET', work, agent, is .. ':' .. string.format('%.0f', at))
    redis.call('PEXPIRE', work, 86400000) -- a queue nobody dials any more
  else
    redis.call('HDEL', work, agent)
  end
  return is == 't'
end
