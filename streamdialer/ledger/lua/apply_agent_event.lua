-- Notes what an event says about one agent, in all queues the agent stands in. The event written last wins, whatever
-- order events arrive in.
-- KEYS 1 server, 2 agents, 3 agent calls, 4 shared agents, then per queue passed the keys of `Keys.of_agents_in`
-- ARGV agent, state ('available' | 'busy' | 'wrapup' | 'offline'), id of the event's entry, the queue it names ('' =
--   none), queues passed (JSON list)
-- Returns {what, the agent's queue…}: "freed" the agent has become free · "applied" · "unchanged" · "unknown" no list
--   has named the agent: nothing is noted · "queues" the keys of these queues are needed, too
-- uses: clock bounded_stream observations agent_activity agents
local agent, state, named_queue, written_ms = ARGV[1], ARGV[2], ARGV[4], written_at(ARGV[3], ledger_clock(KEYS[1]))
use_agents(2, ARGV[5])
local record = load_agent(agent)
if not record then return { 'unknown' } end
local missing = { 'queues' }
note_missing(missing, record)
if #missing > 1 then return missing end
local function answer(outcome) return { outcome, unpack(record.q) } end
if heard_ms(record) > written_ms then return answer('unchanged') end

-- A call whose agent was guessed is this agent's, who was thought to be free.
local was_free, guess, its_record = record.s == 'available', nil, nil
if state == 'busy' and was_free then
  for _, queue in ipairs(record.q) do
    for _, other in ipairs(guess and {} or redis.call('ZRANGE', queue_sets[queue].guessed, 0, 9)) do
      local its = load_agent(other)
      if its and its.g and not guess then
        guess, its_record = other, its
      elseif not (its and its.g) then
        redis.call('ZREM', queue_sets[queue].guessed, other)
      end
    end
  end
  note_missing(missing, its_record)
  if #missing > 1 then return missing end
end

if guess then
  move_call(its_record, agent, record)
  save_agent(guess, its_record)
  for _, queue in ipairs(its_record.q) do redis.call('HDEL', queue_sets[queue].activity, guess) end
end
if state ~= 'busy' then drop_call(record) end
record.s, record.t, record.e, record.d, record.g = state, written_ms, 1, nil, nil
save_agent(agent, record)
if note_activity(agent, record, written_ms) then -- the agent takes the person who waits longest, if any
  local waiting = queue_sets[named_queue]
  for _, queue in ipairs(record.q) do
    if not waiting or redis.call('EXISTS', waiting.answer_queue) == 0 then waiting = queue_sets[queue] end
  end
  redis.call('ZPOPMIN', waiting.answer_queue)
end
if was_free == (state == 'available') then return answer('unchanged') end
return answer(state == 'available' and 'freed' or 'applied')
