-- Whether, and when, a contact is called again after an attempt: the campaign's plan (`rules/retry.py`), kept in its totals
-- as `retry`, applied to how the attempt ended.
-- A plan: {m = most attempts that count, u = most in a row that do not count, r = {kind of end or cause = rule, …}}.
-- A rule: {d = delay ms? (none), x = factor?, c = longest delay ms?, j = jitter?, l = limit?, u = does not count?, e = is final?}.
-- The past of an attempt: {a = attempts that count, u = those right before it that do not, k = {key of a rule = attempts
--   ended by it}?}. It is fixed when the attempt is reserved: late news of an older one changes nothing of a newer one.

local function keep_plan(encoded)
  if redis.call('HGET', totals, 'retry') ~= encoded then redis.call('HSET', totals, 'retry', encoded) end
end

-- The plan for campaigns nobody has dialed yet: when in doubt, no call is placed.
local NO_PLAN = { m = 0, u = 0, r = {} }
local function retry_plan()
  local raw = redis.call('HGET', totals, 'retry')
  return raw and cjson.decode(raw) or NO_PLAN
end

-- Notes as `y` under which rule an ended attempt falls, and as `u` that it does not count. Returns the delay to the
-- next attempt, ms; nil when there is none.
local function apply_plan(plan, attempt, kind, cause)
  local key, past = cause and plan.r[cause] and cause or kind, attempt.p
  local rule = plan.r[key]
  attempt.y = key
  attempt.u = rule and rule.u and past.u < plan.u or nil
  if not rule or rule.e then return nil end
  local before = past.k and past.k[key] or 0
  if rule.l and before + 1 >= rule.l then return nil end
  if past.a + (attempt.u and 0 or 1) >= plan.m then return nil end
  local delay = math.min(rule.c or math.huge, (rule.d or 0) * (rule.x or 1) ^ before)
  local share = tonumber(string.sub(redis.sha1hex(attempt.id), 1, 8), 16) / 2 ^ 32
  return math.floor(delay * (1 + (rule.j or 0) * share))
end

-- The past of the attempt that comes next.
local function past_of(record)
  local last = record.h and record.h[#record.h]
  if not last then return { a = record.a, u = 0 } end
  local ended = {}
  for key, often in pairs(last.p.k or {}) do ended[key] = often end
  if last.y then ended[last.y] = (ended[last.y] or 0) + 1 end
  return { a = record.a, u = last.u and last.p.u + 1 or 0, k = next(ended) and ended or nil }
end

-- The number of the attempt that comes next: no request before it had it, whether or not its attempt counts.
local function next_number(record)
  local last = record.h and record.h[#record.h]
  return math.max(record.a, record.n or 0, last and last.n or 0) + 1
end

-- Forgets a contact, who is in no place any more. What `attempts` does not tell is kept, so that the contact's next
-- request, should the backend bring it back, has a number of its own.
local function forget(contact, record)
  local spent = next_number(record) - 1
  if spent > record.a then redis.call('HSET', totals, 'n:' .. contact, spent) end
  redis.call('HDEL', records, contact)
  redis.call('HDEL', contacts, contact)
end
