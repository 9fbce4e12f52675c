-- How long a server still asks for no requests, ms; 0 when it takes them. Its key says until when, by the ledger's clock, and
-- expires then; when the server's clock is set back, the key outlasts the pause.
local function paused_ms(pause, ledger_ms)
  local until_ms = tonumber(redis.call('GET', pause) or nil)
  return until_ms and math.max(0, math.min(until_ms - ledger_ms, redis.call('PTTL', pause))) or 0
end
