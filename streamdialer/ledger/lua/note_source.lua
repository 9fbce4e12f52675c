-- Stores the newest list of an event source: all calls it sees up. An older list than the stored one changes nothing.
-- KEYS 1 server, 2 event sources, 3 the source's calls, 4 events
-- ARGV source, id of the list's entry, longest possible conversation ms (a source counts for that long after its
--   newest list), most sources, since when the source has watched (server's ms), then the ids of attempts and calls
-- Returns {"ok", when the oldest list of all sources was written (ledger ms), since when all sources have watched (ledger
--   ms), the names of all sources, …} · {"older"} · {"too_many"}
-- uses: clock stream_ids
local server, sources, calls = KEYS[1], KEYS[2], KEYS[3]
local source, entry, max_call_ms, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local ledger_ms, server_ms = ledger_clock(server)

local known = {}
local stored = redis.call('HGETALL', sources)
for i = 1, #stored, 2 do
  local written_ms, its_entry, since_ms = string.match(stored[i + 1], '^(%S+) (%S+) (%S+)$')
  if tonumber(written_ms) < ledger_ms - max_call_ms then
    redis.call('HDEL', sources, stored[i])
  else
    known[stored[i]] = { written_ms = tonumber(written_ms), entry = its_entry, since_ms = tonumber(since_ms) }
  end
end

-- Whether an id is not of an earlier stream that was deleted or made anew since.
local function is_of_this_stream(id)
  local newest = last_generated_id(KEYS[4])
  return newest ~= nil and not is_id_after(id, newest)
end
local last = known[source]
if last and is_id_after(last.entry, entry) and is_of_this_stream(last.entry) then return { 'older' } end
if not last and redis.call('HLEN', sources) >= most then return { 'too_many' } end

local written_ms = written_at(entry, ledger_ms, server_ms)
local since_ms = math.min(written_ms, tonumber(ARGV[5]) + (ledger_ms - server_ms))
known[source] = { written_ms = written_ms, entry = entry, since_ms = since_ms }
redis.call('HSET', sources, source, string.format('%.0f %s %.0f', written_ms, entry, since_ms))
redis.call('PEXPIRE', sources, max_call_ms)
redis.call('DEL', calls)
for first = 6, #ARGV, 1000 do redis.call('SADD', calls, unpack(ARGV, first, math.min(first + 999, #ARGV))) end
if #ARGV > 5 then redis.call('PEXPIRE', calls, max_call_ms) end

local oldest_ms, newest_since_ms, names = written_ms, since_ms, {}
for name, list in pairs(known) do
  names[#names + 1] = name
  oldest_ms, newest_since_ms = math.min(oldest_ms, list.written_ms), math.max(newest_since_ms, list.since_ms)
end
return { 'ok', string.format('%.0f', oldest_ms), string.format('%.0f', newest_since_ms), unpack(names) }
