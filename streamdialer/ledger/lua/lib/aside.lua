-- Where in `ready` the contacts stand that are kept for an agent (lib/callback.lua): behind the line, past all priorities.
local KEPT_FROM = 2 ^ 47
