-- Finds the queues that share agents with a queue, directly or over further queues.
-- KEYS 1 shared agents
-- ARGV queue
-- Returns their names
-- uses: shared_agents
local queues = sharing_queues(KEYS[1], ARGV[1])
table.remove(queues, 1)
return queues
