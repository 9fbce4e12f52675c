-- Registries of numbers that must not be called: when each was last asked. Field `registry:NAME` of the hash `server`:
-- the server's ms when it was asked, when its answer was imported, and how many numbers that had.

-- Returns why the campaign may not be dialed, for people: a registry that its caps name was asked too long ago; nil when
-- none was. A registry without any recorded query stops nothing, because lists may be compared with it elsewhere;
-- `doctor` warns of it.
local function outdated_registry(caps)
  for _, registry in ipairs(caps and caps.registries or {}) do
    local stored = redis.call('HGET', server, 'registry:' .. registry.name)
    local asked_ms = stored and tonumber(string.match(stored, '^%d+'))
    if asked_ms and server_ms >= asked_ms + registry.max_age_ms then
      return registry.source .. '; it was last asked at ' .. iso(asked_ms)
    end
  end
end
