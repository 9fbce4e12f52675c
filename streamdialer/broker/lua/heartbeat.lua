-- Notes that a process is alive and its state. Removes processes that have been silent for too long.
-- A process that must not work with the data (broker/layout.py) does not count as alive.
-- KEYS 1 replicas, 2 their states, 3 server
-- ARGV process, state JSON, ms of silence after which a process is removed, the layout that the process knows
-- Returns the marks layout, moved_to and moving of the hash `server`
local marks = redis.call('HMGET', KEYS[3], 'layout', 'moved_to', 'moving')
if marks[2] or marks[3] or (marks[1] and marks[1] ~= ARGV[4]) then return marks end
if not marks[1] then redis.call('HSET', KEYS[3], 'layout', ARGV[4]) end
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', server_ms - ARGV[3]))) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', server_ms), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return marks
