-- Ids as their programs write them, from the percent-encoded ones that are used here (`normalise_id` in `model.py`).

local function plain_id(id)
  return (string.gsub(id, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end))
end
