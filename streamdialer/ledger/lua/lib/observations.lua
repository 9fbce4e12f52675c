-- What adaptive pacing learns from: a bounded stream with one entry per observation, written only for queues
-- that learn (they have a `learning` hash).

local OBSERVATIONS_MAXLEN = 5000
-- `what` is an `ObservationKind` of model.py; `at` and `took` are ledger ms; `campaign` is '' for an agent's
-- activity.
local function add_observation(observations, learning, what, at, took, campaign)
  if redis.call('EXISTS', learning) == 0 then return end
  append_bounded(observations, OBSERVATIONS_MAXLEN, { 'what', what, 'at', string.format('%.0f', at),
    'took', string.format('%.0f', math.max(0, took)), 'campaign', campaign })
  redis.call('PEXPIRE', observations, 86400000) -- a queue that is no longer dialed
end
