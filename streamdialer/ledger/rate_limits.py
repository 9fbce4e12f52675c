"""How fast a campaign and its trunk may place calls (`lua/lib/rate_limit.lua`)."""

from __future__ import annotations

import msgspec

from streamdialer.broker.keys import Keys


class RateLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Calls per second and live calls on the trunk; None is no limit."""

    calls_per_second: float | None = None
    trunk: str = ""
    """'' is the trunk of all campaigns that name none."""
    trunk_channels: int | None = None
    trunk_calls_per_second: float | None = None
    trunk_members: list[str] = msgspec.field(default_factory=list)
    """The other campaigns on the trunk, as far as known; only needed with `trunk_channels`."""

    def live_calls(self, keys: Keys) -> list[str]:
        """KEYS of the members' live calls."""
        return [
            key
            for member in self.trunk_members
            for key in (keys.reserved(member), keys.dialing(member), keys.connected(member))
        ]


NO_RATE_LIMITS = RateLimits()
