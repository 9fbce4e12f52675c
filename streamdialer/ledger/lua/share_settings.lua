-- Keeps a campaign's settings for all processes, or gives those that are kept.
-- KEYS 1 settings of the campaign
-- ARGV settings JSON ('' = read them), how long they are kept ms
-- Returns "ok" · {age ms, settings JSON}, or nil when none are kept
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('SET', KEYS[1], string.format('%.0f %s', now_ms, ARGV[1]), 'PX', ARGV[2])
  return 'ok'
end
local at_ms, settings = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (.*)$')
return at_ms and { math.max(0, now_ms - at_ms), settings }
