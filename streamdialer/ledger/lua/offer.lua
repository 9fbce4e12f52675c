-- Shows an agent of a preview campaign one contact that may be called: the one shown already, else the next in the line. No
-- other agent is shown it until the offer ends.
-- KEYS 1–20 of the campaign, 21 answer to this request, 22 previews, 23 api
-- ARGV campaign, agent, id of the request's entry, open until ms ('' = no end), max attempts, events required ('1'), deadline
--   after sending ms, offer ms, batch
-- Returns the contact's id · or "": previews say why ("none", or what forbids calls)
-- uses: clock memory campaign outbox attempts gate refusal callback preview
local given_answer, previews, api = unpack(KEYS, 21, 23)
local agent, entry, max_attempts, offer_ms, batch = ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[8]), tonumber(ARGV[9])
local given = redis.call('GET', given_answer)
if given then return given end

local function reply(contact)
  redis.call('SET', given_answer, contact, 'PX', 2 * offer_ms) -- a request delivered later than that is too old
  publish()
  return contact
end

local function show(contact, record)
  local ends = tonumber(redis.call('ZSCORE', offered, contact))
  local asked, more = owed(record), { attempts = record.a, expires_at = iso(ends - (now - wall)) }
  if asked then more.callback_at, more.callback_number = iso(asked.at), asked.num end
  local call = redis.call('HGET', contacts, contact) -- as it is: cjson would change numbers and empty lists
  tell_agent(previews, 'preview_offered', agent, contact, entry,
    string.sub(call, 1, -2) .. ',' .. string.sub(cjson.encode(more), 2))
  return reply(contact)
end

local function none(reason)
  tell_agent(previews, 'preview_none', agent, '', entry, cjson.encode({ reason = reason }))
  return reply('')
end

local gate = look_at_gate(api, ARGV[4], ARGV[6] == '1', tonumber(ARGV[7]))
if gate.closed then return none(gate.closed) end
if written_at(entry, now, wall) < now - offer_ms then return none('late') end
local shown, record = offer_of(agent)
if shown then return show(shown, record) end

local looked, kept = 0, 0
while looked < batch do
  local contact = redis.call('ZRANGE', ready, kept, kept)[1]
  if not contact then break end
  looked, record = looked + 1, load_record(contact)
  local refused, keeper = refusal(record, max_attempts), kept_for(record)
  if refused then
    pass_over(contact, record, refused)
  elseif keeper and keeper ~= agent then
    kept = kept + 1
  else
    move(contact, record, 'offered', now + offer_ms)
    record.of = { ag = agent, e = entry }
    save_record(contact, record)
    return show(contact, record)
  end
end
return none('no_contacts')
