-- Notes what an event says of one agent; the news written last wins, whatever order it comes in.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 agents, 4 server
-- ARGV queue, agent, free ('1' or '0'), id of its entry
-- Returns "freed" the agent has become free · "applied" · "unchanged"
-- uses: clock
local queue, agent, written = ARGV[1], ARGV[2], written_at(ARGV[4], ledger_clock(KEYS[4]))
local set, other = KEYS[2], KEYS[1]
if ARGV[3] == '1' then set, other = other, set end
local heard = tonumber(redis.call('ZSCORE', KEYS[1], agent) or redis.call('ZSCORE', KEYS[2], agent) or -1)
local here = redis.call('ZSCORE', set, agent)
if heard > written then return 'unchanged' end
redis.call('ZREM', other, agent)
redis.call('ZADD', set, string.format('%.0f', written), agent)
redis.call('HSET', KEYS[3], agent, queue)
redis.call('PEXPIRE', set, 86400000) -- a queue nobody dials any more
if here then return 'unchanged' end
return ARGV[3] == '1' and 'freed' or 'applied'
