"""Campaigns whose last decision found no contact to call: the next ticks say the same in one script call."""

from __future__ import annotations

from time import monotonic
from typing import Final

import msgspec

from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.model import CampaignSettings, TickResult

IDLE_S: Final = 25.0
"""How long a decision also holds for the next ticks. Without events, the next tick comes after 10 s."""
_REASONS: Final = frozenset(
    {"no_contacts", "contacts_passed_over", "no_agents", "agents_elsewhere", "agents_reserved"}
)
"""Reasons that hold until a contact may be placed. Other reasons have to be checked at each tick."""


class _Idle(msgspec.Struct, frozen=True):
    settings: CampaignSettings
    result: TickResult
    until_s: float


class IdleCampaigns:
    """The last decisions of campaigns without a contact; adaptive ones decide at each tick: their queue learns."""

    def __init__(self) -> None:
        self._found: TTLCache[_Idle] = TTLCache(IDLE_S)

    def note(self, result: TickResult, settings: CampaignSettings, open_s: float | None) -> None:
        """`open_s` is for how long the campaign's calling window stays open; None: it does not close."""
        campaign = result.campaign_id
        if result.ready or result.reason not in _REASONS or result.adaptive or result.shadow:
            self._found.pop(campaign)
            return
        short = TickResult(
            status="skipped",
            kind="dial",
            campaign_id=campaign,
            reason=result.reason,
            detail=result.detail,
            dialed=0,
            failed=0,
        )
        lasts_s = IDLE_S if open_s is None else min(IDLE_S, open_s)
        self._found.put(campaign, _Idle(settings, short, monotonic() + lasts_s))

    def result_of(self, campaign: str, settings: CampaignSettings) -> TickResult | None:
        """The result of the next tick if no contact may be placed; None when it must decide."""
        found = self._found.get(campaign)
        if found is None or found.settings != settings or monotonic() > found.until_s:
            return None
        return msgspec.structs.replace(found.result)  # the caller may complete it
