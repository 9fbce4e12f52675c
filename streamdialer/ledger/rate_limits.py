"""How fast a campaign and its trunk may place calls, as the scripts take it (`lua/lib/rate_limit.lua`)."""

from __future__ import annotations

import msgspec

from streamdialer.broker.keys import Keys


class RateLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Calls per second, and the lines of the trunk; None is no limit."""

    calls_per_second: float | None = msgspec.field(default=None, name="c")
    trunk: str = msgspec.field(default="", name="t")
    """'' is that of all campaigns that name none."""
    lines: int | None = msgspec.field(default=None, name="l")
    trunk_calls_per_second: float | None = msgspec.field(default=None, name="r")
    members: list[str] = msgspec.field(default_factory=list, name="m")
    """The other campaigns on the trunk, as far as is known; asked for where it has limited lines."""

    def live_calls(self, keys: Keys) -> list[str]:
        """KEYS of the members' live calls."""
        return [
            key
            for member in self.members
            for key in (keys.reserved(member), keys.dialing(member), keys.connected(member))
        ]


NO_PACE = RateLimits()
