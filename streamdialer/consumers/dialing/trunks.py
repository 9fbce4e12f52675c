"""Trunks: which campaigns share one, how many lines it has, and how fast calls may be placed on it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamdialer.consumers.dialing.calling_hours import claim_with_hours
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.ledger import ClaimRequest, ClaimResult
from streamdialer.ledger.rate_limits import RateLimits
from streamdialer.model import CampaignSettings
from streamdialer.rules import CallingHours

CLAIM_TRIES: Final = 5
CACHE_TTL_S: Final = 60.0


class Trunks:
    """Remembers the campaigns of each trunk; when they have changed, the scripts say so and place nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns: TTLCache[list[str]] = TTLCache(CACHE_TTL_S)

    def pace_of(self, campaign: str, settings: CampaignSettings) -> RateLimits:
        """The campaign's pace and its trunk's, as far as is known here."""
        ours, trunk = self._services.settings, settings.trunk or ""
        known = self._campaigns.get(trunk) or []
        return RateLimits(
            calls_per_second=settings.calls_per_second,
            trunk=trunk,
            trunk_channels=ours.trunk_channels or None,
            trunk_calls_per_second=ours.trunk_calls_per_second or None,
            trunk_members=[one for one in known if one != campaign] if ours.trunk_channels else [],
        )

    async def refresh_members(self, settings: CampaignSettings) -> None:
        """Reads which campaigns are on the campaign's trunk."""
        trunk = settings.trunk or ""
        noted: Any = await self._services.client.hgetall(self._services.keys.trunks)
        members = [name[2:] for name, value in noted.items() if name.startswith("c:") and value == trunk]
        self._campaigns.put(trunk, sorted(members))

    async def claim(
        self,
        campaign: str,
        settings: CampaignSettings,
        wanted: ClaimRequest,
        hours: CallingHours,
        now_ms: int,
    ) -> ClaimResult:
        """Claims within the calling hours, and again when others have come to the trunk or left it."""
        for _ in range(CLAIM_TRIES):
            paced = msgspec.structs.replace(wanted, rate_limits=self.pace_of(campaign, settings))
            claimed = await claim_with_hours(
                self._services.campaigns, campaign, settings.queue_name, paced, hours, now_ms
            )
            if claimed.reason != "trunk_changed":
                break
            await self.refresh_members(settings)
        return claimed
