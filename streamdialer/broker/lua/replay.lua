-- Puts a dead letter back into the stream it came from, with the fields it had.
-- KEYS 1 dead letters, 2 their index, 3 their sizes, 4 stream it came from
-- ARGV the dead letter's id
-- Returns the new entry's id · '' the dead letter does not exist · 'elsewhere' it came from another stream · 'cut' not
--   all of its fields were kept
-- uses: letters
local dead, index, sizes, stream = unpack(KEYS)
local entry = redis.call('XRANGE', dead, ARGV[1], ARGV[1])[1]
if not entry then return '' end
local original, came_from = {}, nil
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if string.sub(name, 1, 1) == '=' then
    original[#original + 1] = string.sub(name, 2)
    original[#original + 1] = value
  elseif name == 'stream' then
    came_from = value
  elseif name == 'cut' then
    return 'cut'
  end
end
if came_from ~= stream then return 'elsewhere' end
local id = redis.call('XADD', stream, '*', unpack(original))
delete_letter(dead, index, sizes, ARGV[1])
return id
