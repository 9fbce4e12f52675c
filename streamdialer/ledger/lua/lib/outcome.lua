-- How attempts end, for other programs (docs/outcomes.md): one entry of the stream `outcomes` per attempt, and one more
-- with the same `attempt_id` when late news changes its disposition, cause, answer, agent or duration, or shows that the
-- call went on. `oc` of an attempt is the mark of its newest entry.

-- Adds the attempt's entry; nothing while it has not ended, or when its newest entry says the same. `outcomes` has the
-- `stream` and `most`, how many entries it keeps. To be called when the contact has its new state; the caller saves the
-- record.
local report_outcome
do
  local function text(value) return value and value ~= '' and cjson.encode(value) or 'null' end

  local function instant(ms) -- ledger ms
    if not ms then return 'null' end
    local at = math.floor(ms - (ledger_ms - server_ms))
    return string.format('"%s.%03dZ"', string.sub(iso(at), 1, -2), at % 1000)
  end

  -- Returns the number as it was dialed; nil when nobody knows which of several it was.
  local function number_called(record, attempt, call)
    local callback = record.cb
    if attempt.ph == 0 then return callback and callback.e == attempt.cb and callback.num or attempt.to end
    if attempt.ph then return call.phones and call.phones[attempt.ph] end
    if call.phones and attempt.t == 'remembered' then return attempt.to end
    return call.phone_number
  end

  -- Ids have the JSON type in which the backend writes them.
  local function ids(contact, raw, call)
    local its_campaign = call.campaign_id
    local is_integer = campaign == '0' or string.find(campaign, '^%-?[1-9]%d*$')
    local has_number = its_campaign == nil and is_integer or type(its_campaign) == 'number'
    return has_number and campaign or text(campaign), string.find(raw, '^{"id":%-?%d') and contact or text(contact)
  end

  -- Returns when the contact may be called next (ledger ms, nil = not known), and whether no call follows.
  local function what_follows(contact, record, attempt)
    if attempt ~= record.h[#record.h] then return nil, false end
    if record.p == 'deferred' then return tonumber(redis.call('ZSCORE', deferred, contact)), false end
    return record.p == 'ready' and ledger_ms or nil, record.p == 'final'
  end

  function report_outcome(outcomes, contact, record, attempt)
    if attempt.s ~= 'ended' then
      attempt.oc = attempt.oc and '' -- it goes on: its next end is news, whatever it is
      return
    end
    local _, _, cause = attempt_state(attempt)
    local agent, was_answered = attempt.wa or attempt.we or attempt.ag or '', attempt.am and 'answered' or ''
    local said = table.concat({ attempt.d, cause or '', was_answered, agent, attempt.du or '' }, '\n')
    local mark = string.sub(redis.sha1hex(said), 1, 8)
    if attempt.oc == mark then return end
    attempt.oc = mark

    local raw = redis.call('HGET', contacts, contact) or '{}'
    local call = cjson.decode(raw)
    local its_campaign, its_contact = ids(contact, raw, call)
    local last_seen_ms = attempt.ee and written_at(attempt.ee, ledger_ms, server_ms)
    local duration_s = attempt.du
    if not duration_s and attempt.am and last_seen_ms then duration_s = math.max(0, last_seen_ms - attempt.am) / 1000 end
    local next_ms, is_final = what_follows(contact, record, attempt)
    local fields = {
      '"attempt_id":' .. text(attempt.id), '"campaign_id":' .. its_campaign, '"contact_id":' .. its_contact,
      '"phone_number":' .. text(number_called(record, attempt, call)),
      '"call_id":' .. text(attempt.c or attempt.rc), '"agent_id":' .. text(agent),
      '"disposition":' .. text(attempt.d), '"cause":' .. text(cause),
      '"sent_at":' .. instant(attempt.sm), '"answered_at":' .. instant(attempt.am),
      '"ended_at":' .. instant(last_seen_ms or attempt.em),
      '"duration":' .. (duration_s and string.format('%.12g', duration_s) or 'null'),
      '"attempt":' .. string.format('%.0f', attempt.n),
      '"allowed_by":' .. text(attempt.al),
      '"next_at":' .. instant(next_ms), '"final":' .. tostring(is_final),
    }
    local data = '{' .. table.concat(fields, ',') .. '}'
    append_bounded(outcomes.stream, outcomes.most, { 'type', 'attempt_ended', 'data', data })
  end
end
