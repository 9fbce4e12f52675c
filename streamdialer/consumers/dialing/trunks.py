"""Trunks: the campaigns that share one, its channels, and how fast calls may be placed on it."""

from __future__ import annotations

from typing import Any

from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.ledger.rate_limits import RateLimits
from streamdialer.model import CampaignSettings


class Trunks:
    """Remembers the campaigns of each trunk. When they have changed, a claim says so and places nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns: TTLCache[list[str]] = TTLCache()

    def rate_limits_of(self, campaign: str, settings: CampaignSettings) -> RateLimits:
        """The rate limits of the campaign and its trunk."""
        ours, trunk = self._services.settings, settings.trunk or ""
        known = self._campaigns.get(trunk) or []
        return RateLimits(
            calls_per_second=settings.calls_per_second,
            trunk=trunk,
            trunk_channels=ours.trunk_channels or None,
            trunk_calls_per_second=ours.trunk_calls_per_second or None,
            trunk_members=[member for member in known if member != campaign] if ours.trunk_channels else [],
        )

    def knows_members(self, settings: CampaignSettings) -> bool:
        """Whether the campaigns on the trunk are known here, or need not be: its lines are not limited."""
        is_limited = self._services.settings.trunk_channels > 0
        return not is_limited or self._campaigns.get(settings.trunk or "") is not None

    async def refresh_members(self, settings: CampaignSettings) -> None:
        """Reads which campaigns are on the campaign's trunk."""
        trunk = settings.trunk or ""
        stored: Any = await self._services.client.hgetall(self._services.keys.trunks)
        members = [name[2:] for name, value in stored.items() if name.startswith("c:") and value == trunk]
        self._campaigns.put(trunk, sorted(members))
