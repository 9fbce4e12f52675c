"""Campaigns whose last decision found no contact to call: the next ticks say the same in one script call."""

from __future__ import annotations

from time import monotonic
from typing import Final

import msgspec

from streamdialer.consumers.dialing.inputs import DialedCampaign
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.model import CampaignSettings, TickResult

IDLE_S: Final = 25.0
"""How long a decision also holds for the next ticks. Without events, the next tick comes after 10 s."""


class IdleDecision(msgspec.Struct, frozen=True):
    """What the next ticks say again."""

    settings: CampaignSettings
    result: TickResult
    decided_ms: int
    """When the tick that decided began, ledger ms."""
    until_s: float


class IdleCampaigns:
    """The last decisions of campaigns that had no ready contact and no live call."""

    def __init__(self) -> None:
        self._decisions: TTLCache[IdleDecision] = TTLCache(IDLE_S)

    def note(self, campaign: DialedCampaign, result: TickResult) -> None:
        """The decision holds until a contact becomes ready, at most until the campaign's calling window closes."""
        short = TickResult(
            status=result.status,
            kind="dial",
            campaign_id=campaign.id,
            reason=result.reason,
            detail=result.detail,
            dialed=0,
            failed=0,
            active_calls=0,
        )
        lasts_s = IDLE_S if campaign.open_s is None else min(IDLE_S, campaign.open_s)
        decision = IdleDecision(campaign.settings, short, campaign.start.ledger_ms, monotonic() + lasts_s)
        self._decisions.put(campaign.id, decision)

    def forget(self, campaign: str) -> None:
        """The campaign's next tick decides."""
        self._decisions.pop(campaign)

    def decision_of(self, campaign: str, settings: CampaignSettings) -> IdleDecision | None:
        """What the next tick says if no contact may be placed; None when it must decide."""
        decision = self._decisions.get(campaign)
        if decision is None or decision.settings != settings or monotonic() > decision.until_s:
            return None
        return decision
