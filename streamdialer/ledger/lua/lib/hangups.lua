-- A bounded stream of calls that the telephone system is to end while they ring (docs/events.md).
local MAX_HANGUPS = 10000
local HANGUPS_TTL_MS = 3600000

-- Returns 1 when the contact has a call that may still ring, else 0.
local function request_hangup(hangups, record, reason)
  if record.p ~= 'dialing' then return 0 end
  append_bounded(hangups, MAX_HANGUPS, { 'attempt_id', record.h[#record.h].id, 'reason', reason })
  redis.call('PEXPIRE', hangups, HANGUPS_TTL_MS)
  return 1
end
