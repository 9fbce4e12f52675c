-- Reads everything pacing needs to know about a queue, at one moment.
-- KEYS 1 queue's free agents, 2 queue's busy agents, 3 queue's state, 4 queue's campaigns, 5 queue's pacing,
--   6 api, 7 server, 8 queue's agent activity, 9 queue's answer queue, 10 queue's observations, 11 queue's
--   learning, then per campaign: public hash, ready, reserved, dialing, connected, totals, agent callbacks, at last
--   the keys of `Keys.of_sharing`
-- ARGV with what adaptive pacing needs ('1'), deadline after sending ms (of campaigns whose pacing names none), queue, queues that share agents with it (JSON
--   list {{queue, {campaign, …}}, …}), whether agents known from a list count ('1'), then per campaign, in the order of
--   KEYS: id, hours of its abandon rate's window
-- Returns JSON: `QueueState` (`ledger/queues.py`) · "queue_changed" the queue has campaigns, or shares agents with
--   queues or their campaigns, that were not passed
-- uses: clock agent_callback_order abandon_window shared_agents agent_lists
local ledger_ms, server_ms = ledger_clock(KEYS[7])
local is_adaptive = ARGV[1] == '1'
local members = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
local served = {}
for i = 1, #members, 2 do served[members[i]] = tonumber(members[i + 1]) end
local is_passed, pacing_of, limited_until = {}, {}, {}
for first = 6, #ARGV, 2000 do -- Lua passes at most some thousand arguments
  local ids, fields = {}, {}
  for i = first, math.min(first + 1998, #ARGV), 2 do
    is_passed[ARGV[i]] = true
    ids[#ids + 1], fields[#fields + 1] = ARGV[i], 'c:' .. ARGV[i]
  end
  local pacings = redis.call('HMGET', KEYS[5], unpack(ids))
  local limits = redis.call('HMGET', KEYS[6], unpack(fields))
  for k, id in ipairs(ids) do
    pacing_of[id], limited_until[id] = pacings[k] or '', tonumber(limits[k] or 0)
  end
end
for id in pairs(served) do
  if not is_passed[id] then return 'queue_changed' end
end
local usable = usable_agents(12 + (#ARGV - 5) / 2 * 7, ARGV[3], cjson.decode(ARGV[4]), ARGV[5] == '1')
if not usable then return 'queue_changed' end

local function list(values) return #values > 0 and values or cjson.empty_array end

local campaigns = {}
for i = 6, #ARGV, 2 do
  local id, at = ARGV[i], 12 + (i - 6) / 2 * 7
  local state = {
    id = id,
    status = redis.call('HGET', KEYS[at], 'status') or '',
    ready = count_placeable(KEYS[at + 1], KEYS[at + 6], KEYS[1], server_ms),
    placed = redis.call('ZCARD', KEYS[at + 2]) + redis.call('ZCARD', KEYS[at + 3]),
    connected = redis.call('ZCARD', KEYS[at + 4]),
    served = served[id] or 0,
    pacing = pacing_of[id],
    is_rate_limited = limited_until[id] > ledger_ms,
  }
  if is_adaptive then
    local ringing, sent = {}, redis.call('ZRANGE', KEYS[at + 3], 0, -1, 'WITHSCORES')
    local deadline_ms = state.pacing ~= '' and cjson.decode(state.pacing).deadline_ms or tonumber(ARGV[2])
    for k = 2, #sent, 2 do ringing[#ringing + 1] = tonumber(sent[k]) - deadline_ms end
    for _ = 1, redis.call('ZCARD', KEYS[at + 2]) do ringing[#ringing + 1] = ledger_ms end -- reserved: about to ring
    state.ringing = list(ringing)
    state.answered_by_person, state.abandoned = abandon_window(KEYS[at + 5], ledger_ms, tonumber(ARGV[i + 1]), true)
  end
  campaigns[#campaigns + 1] = state
end
local answer = {
  ledger_ms = ledger_ms,
  free = redis.call('ZCARD', KEYS[1]),
  usable = usable,
  busy = redis.call('ZCARD', KEYS[2]),
  polled = listed_ms(KEYS[3], ledger_ms),
  campaigns = campaigns,
}
if is_adaptive then
  local since = { t = {}, w = {} }
  local activity = redis.call('HGETALL', KEYS[8])
  for i = 2, #activity, 2 do
    local starts = since[string.sub(activity[i], 1, 1)]
    starts[#starts + 1] = tonumber(string.sub(activity[i], 3))
  end
  answer.talking, answer.wrapping = list(since.t), list(since.w)
  answer.waiting = redis.call('ZCOUNT', KEYS[9], ledger_ms - 30000, '+inf') -- who waits longer has hung up
  local learnt = redis.call('HMGET', KEYS[11], 'learning', 'version', 'read')
  answer.learning, answer.version, answer.read = learnt[1] or nil, tonumber(learnt[2] or 0), learnt[3] or '0-0'
  if #string.match(answer.read, '^%d+') == 20 then answer.read = '0-0' end -- the stream begins anew
  local observations = {}
  for _, entry in ipairs(redis.call('XRANGE', KEYS[10], '(' .. answer.read, '+', 'COUNT', 1000)) do
    local f = entry[2]
    observations[#observations + 1] = { f[2], tonumber(f[4]), tonumber(f[6]), f[8] }
    answer.read = entry[1]
  end
  answer.observations = list(observations)
end
return cjson.encode(answer)
