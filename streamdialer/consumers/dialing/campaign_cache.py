"""The settings of campaigns, read from the backend and kept for a few seconds."""

from __future__ import annotations

import logging
from time import monotonic
from typing import ClassVar, Final

import msgspec

from streamdialer.broker.connection import NO_FAULT
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.background_reads import BackgroundReads
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import DEFAULT_TTL_S, TTLCache
from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings

log = logging.getLogger(__name__)
WAITS_AFTER: Final = 3
"""A tick waits for settings that are this many times too old."""


class CampaignCache(BackgroundReads):
    """Reads settings when those it has are too old: what another process has just read, else from the backend.

    Where it runs as a duty, a tick waits only for settings that are much too old: a slow backend costs a freed agent no
    time. When it finds other settings, the campaign gets another tick at once.
    """

    name: ClassVar[str] = "campaign settings"

    def __init__(self, services: Services, wakeups: WakeupScheduler | None = None) -> None:
        super().__init__()
        self._services = services
        self._wakeups = wakeups
        ttl_s = services.settings.campaign_cache_ttl_s
        self._campaigns: TTLCache[CampaignSettings] = TTLCache(max(DEFAULT_TTL_S, WAITS_AFTER * ttl_s))
        self._reading: set[str] = set()

    async def settings_of(self, campaign: str) -> CampaignSettings:
        """While one tick reads them anew, the others go on with those known. Raises CampaignError or Unreachable."""
        settings = self.known(campaign)
        if settings is not None:
            return settings
        if campaign in self._reading:
            ours = self._services.settings
            settings = self._campaigns.get(campaign, ours.campaign_cache_ttl_s + ours.backend_timeout_s)
            if settings is not None:
                return settings
        return await self._read_anew(campaign)

    def known(self, campaign: str) -> CampaignSettings | None:
        """The settings, if a tick need not wait for newer ones."""
        ttl_s = self._services.settings.campaign_cache_ttl_s
        settings = self._campaigns.get(campaign, ttl_s)
        if settings is None and self.is_running:
            settings = self._campaigns.get(campaign, WAITS_AFTER * ttl_s)
            if settings is not None:
                self.request(campaign)
        return settings

    async def read_requested(self, name: str) -> None:
        """Reads the settings; after an error, the next tick reads them itself."""
        before = self._campaigns.get(name)
        try:
            settings = await self._read_anew(name)
        except NO_FAULT:
            self._campaigns.pop(name)
            raise
        if self._wakeups and settings != before:
            self._wakeups.campaign_within(name, 0)

    async def _read_anew(self, campaign: str) -> CampaignSettings:
        self._reading.add(campaign)
        try:
            read, age_s = await self._read_shared(campaign) or await self._ask_backend(campaign)
        finally:
            self._reading.discard(campaign)
        for caller_id in (read.caller_id or "", *read.caller_ids):
            if problem := self._services.originator.problem_of(read.trunk or "", caller_id):
                raise CampaignError(problem)
        before = self._campaigns.get(campaign)
        if read.defaulted and (before is None or read.defaulted != before.defaulted):
            log.warning(
                "fields of the campaign cannot be read: what the settings say counts instead",
                extra={"campaign": campaign, "fields": "; ".join(read.defaulted)},
            )
        return self._campaigns.put(campaign, with_defaults(read, self._services.settings), age_s)

    async def _read_shared(self, campaign: str) -> tuple[CampaignSettings, float] | None:
        """What another process has read and is fresh, with its age."""
        kept = await self._services.shared_settings.newest(campaign)
        return kept if kept and kept[1] <= self._services.settings.campaign_cache_ttl_s else None

    async def _ask_backend(self, campaign: str) -> tuple[CampaignSettings, float]:
        services, asked_s = self._services, monotonic()
        read = await services.backend.campaign(campaign)
        return await services.shared_settings.keep(
            campaign, read, monotonic() - asked_s, services.settings.campaign_cache_ttl_s
        )

    def age_s(self, campaign: str) -> float:
        """Seconds since the settings were read."""
        return self._campaigns.age_s(campaign) or 0.0


def with_defaults(campaign: CampaignSettings, defaults: Settings) -> CampaignSettings:
    """The campaign's settings; where it has none, ours."""
    return msgspec.structs.replace(
        campaign,
        pacing=campaign.pacing or defaults.pacing,
        rule_pack=campaign.rule_pack or defaults.rule_pack,
        country=campaign.country or defaults.country,
        auto_pause=defaults.auto_pause if campaign.auto_pause is None else campaign.auto_pause,
        ring_timeout=campaign.ring_timeout or defaults.ring_timeout_s,
    )
