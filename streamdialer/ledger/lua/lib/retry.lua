-- Whether and when a contact is called again after an attempt: the campaign's retry plan (`rules/retry.py`),
-- stored in its totals as `retry`, is applied to the end of the attempt.
-- A plan is a `RetryPlan`; in its rules a field is missing that has the default of `Rule`.
-- The past of an attempt, field `p` (`PastAttempts` in `ledger/records.py`), is fixed when the attempt is reserved, so
-- that late news of an older attempt changes nothing.

local function save_plan(encoded)
  if redis.call('HGET', totals, 'retry') ~= encoded then redis.call('HSET', totals, 'retry', encoded) end
end

-- Of a campaign that was never dialed: places no further call.
local NO_PLAN = { max_attempts = 0, uncounted_in_a_row = 0, rules = {} }
local function retry_plan()
  local raw = redis.call('HGET', totals, 'retry')
  return raw and cjson.decode(raw) or NO_PLAN
end

-- Notes in an ended attempt the rule it falls under (y) and whether it is uncounted (u). Returns the delay to
-- the next attempt in ms, or nil when there is none.
local function apply_retry_plan(plan, attempt, kind, cause)
  local key, past = cause and plan.rules[cause] and cause or kind, attempt.p
  local rule = plan.rules[key]
  attempt.y = key
  attempt.u = rule and rule.is_uncounted and past.u < plan.uncounted_in_a_row or nil
  if not rule or rule.is_final then return nil end
  local before = past.k and past.k[key] or 0
  if rule.limit and before + 1 >= rule.limit then return nil end
  if past.a + (attempt.u and 0 or 1) >= plan.max_attempts then return nil end
  local delay = math.min(rule.longest_ms or math.huge, (rule.delay_ms or 0) * (rule.factor or 1) ^ before)
  local share = tonumber(string.sub(redis.sha1hex(attempt.id), 1, 8), 16) / 2 ^ 32
  return math.floor(delay * (1 + (rule.jitter or 0) * share))
end

-- Returns the past of the next attempt.
local function past_for_next(record)
  local last = record.h and record.h[#record.h]
  if not last then return { a = record.a, u = 0 } end
  local ended = {}
  for key, times in pairs(last.p.k or {}) do ended[key] = times end
  if last.y then ended[last.y] = (ended[last.y] or 0) + 1 end
  return { a = record.a, u = last.u and last.p.u + 1 or 0, k = next(ended) and ended or nil }
end

-- Returns the number of the next attempt. No earlier request in the record had it, counted or not.
local function next_attempt_number(record)
  local last = record.h and record.h[#record.h]
  return math.max(record.a, last and last.n or 0) + 1
end

local DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'
-- Returns the id of an attempt that is reserved now. The time at its end, in base 36, tells it from attempts of
-- the same number that the ledger does not remember.
local function new_attempt_id(contact, number)
  local mark, rest = '', ledger_ms
  while rest > 0 do
    local digit = rest % 36
    mark, rest = string.sub(DIGITS, digit + 1, digit + 1) .. mark, math.floor(rest / 36)
  end
  return campaign .. ':' .. contact .. ':' .. number .. ':' .. mark
end

-- Forgets a contact that is in no state any more.
local function forget_contact(contact, record)
  if IN_CALL[record.p] then release_line(contact, record) end
  redis.call('HDEL', records, contact)
  redis.call('HDEL', contacts, contact)
end
