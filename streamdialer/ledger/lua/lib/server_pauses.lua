-- How long a server still asks for no requests, ms; 0 when it takes them. Its key expires when it does again.
local function paused_ms(pause) return math.max(0, redis.call('PTTL', pause)) end
