-- Notes that an event source has listed the agents of a queue.
-- KEYS 1 server, 2 queue's state, 3 queue's campaigns, 4 queue's lists
-- ARGV source, id of the list's entry, ids of its agents (JSON list), most sources, how long it is kept ms
-- Returns {"ok", when it was written (ledger ms), the ids on each fresh list of the other sources (JSON list), …} ·
--   {"older"} than what the source has said already · {"no_campaign"} uses the queue · {"too_many"}
-- uses: clock agent_lists
local state, lists, source = KEYS[2], KEYS[4], ARGV[1]
local ledger_ms, server_ms = ledger_clock(KEYS[1])
local written_ms = written_at(ARGV[2], ledger_ms, server_ms)
if redis.call('EXISTS', KEYS[3]) == 0 then return { 'no_campaign' } end

local stored, others, is_known = redis.call('HGETALL', lists), {}, false
for i = 1, #stored, 2 do
  local its_ms, ids = read_list(stored[i + 1])
  if stored[i] == source then
    if its_ms > written_ms then return { 'older' } end
    is_known = true
  elseif its_ms > ledger_ms - TELEPHONES_OUTRANK_MS then
    others[#others + 1] = ids
  else
    redis.call('HDEL', lists, stored[i])
  end
end
if not is_known and #others >= tonumber(ARGV[4]) then return { 'too_many' } end

local written = string.format('%.0f', written_ms)
redis.call('HSET', lists, source, written .. ' ' .. ARGV[3])
redis.call('PEXPIRE', lists, ARGV[5])
if written_ms > tonumber(redis.call('HGET', state, 'telephones') or 0) then
  redis.call('HSET', state, 'telephones', written)
  redis.call('PEXPIRE', state, ARGV[5])
end
return { 'ok', written, unpack(others) }
