-- Notes what an event says about one agent. The event written last wins, whatever order events arrive in.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 agents, 4 server, 5 queue's agent activity, 6 queue's
--   answer queue, 7 queue's observations, 8 queue's learning
-- ARGV queue, agent, state ('available' | 'busy' | 'wrapup' | 'offline'), id of the event's entry
-- Returns "freed" the agent has become free · "applied" · "unchanged"
-- uses: clock observations agent_activity
local queue, agent, state, written_ms = ARGV[1], ARGV[2], ARGV[3], written_at(ARGV[4], ledger_clock(KEYS[4]))
local set, other = KEYS[2], KEYS[1]
if state == 'available' then set, other = other, set end
local seen_ms = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or -1)
local was_in_set = redis.call('ZSCORE', set, agent)
if seen_ms > written_ms then return 'unchanged' end
redis.call('ZREM', other, agent)
redis.call('ZADD', set, string.format('%.0f', written_ms), agent)
redis.call('HSET', KEYS[3], agent, queue)
redis.call('PEXPIRE', set, 86400000) -- a queue that is no longer dialed
local begins_to_talk = set_activity(KEYS[5], agent, state, written_ms, KEYS[7], KEYS[8])
if begins_to_talk then redis.call('ZPOPMIN', KEYS[6]) end -- to the person who waits longest, if any
if was_in_set then return 'unchanged' end
return state == 'available' and 'freed' or 'applied'
