-- Reads how much is in the streams and which campaigns there are, for metrics. Changes nothing.
-- KEYS 1 api, 2 server, 3 directory, 4 dead letters, 5 entries of `events` retained for other
--   groups, then the stages' streams
-- ARGV the consumer group, position of `events` among the stages
-- Returns JSON {streams = [[length without retained entries, entries with consumers, ms since the oldest of those was
--   added], …], dead = dead letters, api_pause = why all calls wait for the Dialer API?, directory = [campaign, queue, …]?}
local time = redis.call('TIME')
local server_ms = time[1] * 1000 + math.floor(time[2] / 1000)
-- the ledger's clock, to a tenth of a second
local ledger_ms = server_ms + tonumber(redis.call('HGET', KEYS[2], 'clock_offset') or 0)
local streams = {}
for i = 6, #KEYS do
  local pending_count, oldest_ms = 0, 0
  local pending = redis.pcall('XPENDING', KEYS[i], ARGV[1]) -- an error where there is no group yet
  if not pending.err and pending[1] > 0 then
    pending_count, oldest_ms = pending[1], math.max(0, server_ms - tonumber(string.match(pending[2], '^%d+')))
  end
  local retained = i - 5 == tonumber(ARGV[2]) and tonumber(redis.call('GET', KEYS[5]) or 0) or 0
  streams[#streams + 1] = { math.max(0, redis.call('XLEN', KEYS[i]) - retained), pending_count, oldest_ms }
end
local pause = redis.call('HMGET', KEYS[1], 'until', 'reason')
local directory = redis.call('HGETALL', KEYS[3])
return cjson.encode({
  streams = streams,
  dead = redis.call('XLEN', KEYS[4]),
  api_pause = tonumber(pause[1] or 0) > ledger_ms and pause[2] or nil,
  directory = #directory > 0 and directory or nil,
})
