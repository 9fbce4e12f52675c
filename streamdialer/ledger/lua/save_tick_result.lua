-- Stores the result of a tick, and for a dial tick also a decision record of its campaign.
-- KEYS 1 result of the tick, 2 decisions of the campaign, 3 public hash of the campaign, 4 blocks
-- ARGV campaign, tick id, result JSON, how long the result is kept ms, is it a decision ('1'), most decisions
--   kept, how long they are kept after the last ms, the contacts that rules have blocked (`Block` in JSON, '' = none),
--   most blocks kept
-- Returns "ok" · "stored" the tick already has a result
-- uses: bounded_stream
if not redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4], 'NX') then return 'stored' end
if ARGV[5] == '1' and redis.call('EXISTS', KEYS[3]) == 1 then
  append_bounded(KEYS[2], ARGV[6], { 'tick', ARGV[2], 'record', ARGV[3] })
  redis.call('PEXPIRE', KEYS[2], ARGV[7])
  if ARGV[8] ~= '' then append_bounded(KEYS[4], ARGV[9], { 'campaign', ARGV[1], 'blocks', ARGV[8] }) end
end
return 'ok'
