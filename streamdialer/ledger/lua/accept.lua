-- An agent takes the contact shown to them: it is reserved and its call appended to `calls`, as a claim would. What forbids a
-- claim forbids this; then the offer stays until it ends, and previews say why.
-- KEYS 1–20 of the campaign, 21 calls, 22 previews, 23 api
-- ARGV campaign, agent, contact ('' = the one shown), id of the answer's entry, open until ms ('' = no end), max attempts,
--   retry delay ms, max concurrent calls, lease ms, events required ('1'), deadline after sending ms
-- Returns "reserved" (the same entry again as well) · why not
-- uses: clock memory campaign outbox attempts gate refusal reserve preview
local calls, previews, api = unpack(KEYS, 21, 23)
local agent, entry, open_until, max_attempts = ARGV[2], ARGV[4], ARGV[5], tonumber(ARGV[6])
local deadline_ms = tonumber(ARGV[11])

local known = ARGV[3] ~= '' and load_record(ARGV[3])
for _, attempt in ipairs(known and known.h or {}) do
  if attempt.t == entry then return 'reserved' end
end

local gate = look_at_gate(api, open_until, ARGV[10] == '1', deadline_ms)
local contact, record, why_not = answered_offer(agent, ARGV[3], entry)
if not why_not then
  local refused = refusal(record, max_attempts)
  if refused then pass_over(contact, record, refused) end
  local live = count(reserved) + count(unanswered) + count(connected)
  why_not = refused and refused.reason or gate.closed or live >= tonumber(ARGV[8]) and 'concurrency' or nil
end
if why_not then
  tell_agent(previews, 'preview_refused', agent, contact, entry, cjson.encode({ reason = why_not }))
else
  reserve(contact, record, {
    calls = calls, open_until = open_until, lease_ms = tonumber(ARGV[9]), max_attempts = max_attempts,
    retry_delay_ms = tonumber(ARGV[7]), deadline_ms = deadline_ms,
  }, entry, agent)
  if gate.is_probe then redis.call('HSET', api, 'probed', now) end
end
publish()
return why_not or 'reserved'
