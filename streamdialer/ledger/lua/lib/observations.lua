-- What adaptive pacing learns from: one entry per thing seen, only where somebody learns (the queue has its learning).

local SEEN_KEPT = 5000
-- what: `pacing.policy.What`; at and took in ledger ms; campaign '' for the work of an agent.
local function saw(observations, learning, what, at, took, campaign)
  if redis.call('EXISTS', learning) == 0 then return end
  redis.call('XADD', observations, 'MAXLEN', '~', SEEN_KEPT, '*', 'what', what, 'at', string.format('%.0f', at),
    'took', string.format('%.0f', math.max(0, took)), 'campaign', campaign)
  redis.call('PEXPIRE', observations, 86400000) -- a queue nobody dials any more
end
