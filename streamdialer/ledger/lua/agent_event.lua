-- Notes what an event says of one agent; the news written last wins, whatever order it comes in.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 agents
-- ARGV queue, agent, free ('1' or '0'), when it was written (ms)
-- Returns "freed" the agent has become free · "applied" · "unchanged"
local queue, agent, written = ARGV[1], ARGV[2], tonumber(ARGV[4])
local set, other = KEYS[2], KEYS[1]
if ARGV[3] == '1' then set, other = other, set end
local heard = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or -1)
local here = redis.call('ZSCORE', set, agent)
if heard > written then return 'unchanged' end
redis.call('ZREM', other, agent)
redis.call('ZADD', set, ARGV[4], agent)
redis.call('HSET', KEYS[3], agent, queue)
if here then return 'unchanged' end
return ARGV[3] == '1' and 'freed' or 'applied'
