"""The settings of campaigns, read from the backend and kept for a few seconds."""

from __future__ import annotations

import msgspec

from streamdialer.config.settings import Settings
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.model import CampaignSettings


class CampaignCache:
    """Reads settings from the backend when those it has are too old."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns: TTLCache[CampaignSettings] = TTLCache()
        self._reading: set[str] = set()

    async def settings_of(self, campaign: str) -> CampaignSettings:
        """While one tick reads them anew, the others go on with those known. Raises CampaignError or Unreachable."""
        ours = self._services.settings
        max_age_s = ours.campaign_cache_ttl_s
        if campaign in self._reading:
            max_age_s += ours.backend_timeout_s
        settings = self._campaigns.get(campaign, max_age_s)
        if settings is not None:
            return settings
        self._reading.add(campaign)
        try:
            read = await self._services.backend.campaign(campaign)
        finally:
            self._reading.discard(campaign)
        return self._campaigns.put(campaign, with_defaults(read, ours))

    def age_s(self, campaign: str) -> float:
        """Seconds since the settings were read."""
        return self._campaigns.age_s(campaign) or 0.0


def with_defaults(campaign: CampaignSettings, defaults: Settings) -> CampaignSettings:
    """The campaign's settings, those it leaves open taken from ours."""
    return msgspec.structs.replace(
        campaign,
        pacing=campaign.pacing or defaults.pacing,
        rule_pack=campaign.rule_pack or defaults.rule_pack,
        country=campaign.country or defaults.country,
    )
