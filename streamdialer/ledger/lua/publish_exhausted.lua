-- Publishes once that a campaign has come to the end of its list: every contact is final, and the backend
-- knows how. The caller has just read the backend's list to its end; after "ask_backend" it asks the backend whether a
-- contact waits there for a retry. Contacts loaded later start the campaign again (load_contacts.lua).
-- KEYS 1–23 of the campaign
-- ARGV campaign, pub/sub channel, deadline after sending ms, the backend was asked, and no contact waits there ('1')
-- Returns "published" · "already_published" · "not_over" · "ask_backend"
-- uses: clock data_loss spellings campaign ids
local channel, deadline_ms = ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', directory, campaign) == 0 or not is_active() then return 'not_over' end
if server_trouble(server, ledger_ms, deadline_ms) then return 'not_over' end
local epoch = redis.call('HGET', server, 'rebuild_epoch') or ''
if epoch ~= '' and redis.call('HGET', totals, 'rebuilt') ~= epoch then return 'not_over' end
for state, set in pairs(states) do
  if state ~= 'final' and count(set) > 0 then return 'not_over' end
end
if redis.call('HLEN', outbox) > 0 then return 'not_over' end
if redis.call('HEXISTS', totals, 'exhausted') == 1 then return 'already_published' end
if ARGV[4] ~= '1' then return 'ask_backend' end
redis.call('PUBLISH', channel, 'campaign:exhausted:' .. plain_id(campaign))
redis.call('HSET', totals, 'exhausted', format_number(ledger_ms))
return 'published'
