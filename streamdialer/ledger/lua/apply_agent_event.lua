-- Notes what an event says of one agent; the news written last wins, whatever order it comes in.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 agents, 4 server, 5 queue's work, 6 queue's waiting people,
--   7 what its pacing has not learnt from yet, 8 what it has learnt
-- ARGV queue, agent, state ('available' | 'busy' | 'wrapup' | 'offline'), id of its entry
-- Returns "freed" the agent has become free · "applied" · "unchanged"
-- uses: clock observations agent_activity
local queue, agent, state, written = ARGV[1], ARGV[2], ARGV[3], written_at(ARGV[4], ledger_clock(KEYS[4]))
local set, other = KEYS[2], KEYS[1]
if state == 'available' then set, other = other, set end
local heard = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or -1)
local here = redis.call('ZSCORE', set, agent)
if heard > written then return 'unchanged' end
redis.call('ZREM', other, agent)
redis.call('ZADD', set, string.format('%.0f', written), agent)
redis.call('HSET', KEYS[3], agent, queue)
redis.call('PEXPIRE', set, 86400000) -- a queue nobody dials any more
local begins_to_talk = note_work(KEYS[5], agent, state, written, KEYS[7], KEYS[8])
if begins_to_talk then redis.call('ZPOPMIN', KEYS[6]) end -- whoever waits longest, if anybody does, is served first
if here then return 'unchanged' end
return state == 'available' and 'freed' or 'applied'
