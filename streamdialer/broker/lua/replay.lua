-- Puts a dead letter back into the stream it came from, with the fields it had.
-- KEYS 1 dead letters, 2 stream it came from
-- ARGV the dead letter's id
-- Returns the new entry's id · '' the dead letter does not exist · 'elsewhere' it came from another stream
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then return '' end
local original, stream = {}, nil
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if string.sub(name, 1, 1) == '=' then
    original[#original + 1] = string.sub(name, 2)
    original[#original + 1] = value
  elseif name == 'stream' then
    stream = value
  end
end
if stream ~= KEYS[2] then return 'elsewhere' end
local id = redis.call('XADD', KEYS[2], '*', unpack(original))
redis.call('XDEL', KEYS[1], ARGV[1])
return id
