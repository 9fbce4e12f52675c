"""A preview campaign in the ledger: what agents say, and what their programs get."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.ledger.previews import PreviewLimits
from streamdialer.ledger.types import LoadRow
from streamdialer.model import CampaignSettings, PreviewEvent
from streamdialer.rules.retry import retry_plan
from tests.support.ledger_fixture import LedgerWorld


def preview_limits(**settings: Any) -> PreviewLimits:
    """The limits of a campaign with these settings."""
    plan = retry_plan(CampaignSettings(queue_name="sales", **settings))
    return PreviewLimits(open_until_ms=None, retry=plan, max_concurrent=10)


PREVIEW_LIMITS = preview_limits()
OFFER_S = 120


class PreviewWorld(LedgerWorld):
    """What agents say, as its scripts are called."""

    @staticmethod
    def row(contact: str, priority: int = 5, attempts: int = 0) -> LoadRow:
        call = {"id": int(contact), "phone_number": f"+15550{contact}", "custom_data": {}}
        return LoadRow(contact, priority, attempts, msgspec.json.encode(call).decode())

    async def says(
        self,
        what: str,
        agent: str,
        contact: str = "",
        *,
        entry: str = "",
        preview_limits: PreviewLimits = PREVIEW_LIMITS,
    ) -> str:
        event = msgspec.convert(
            {"type": f"preview_{what}", "campaign_id": "1", "agent_id": agent, "contact_id": contact},
            PreviewEvent,
        )
        previews, entry = self.services.previews, entry or await self.write_entry()
        if what == "requested":
            offered = await previews.offer(event, entry, preview_limits)
            while not isinstance(offered, str):  # the backend still shows them
                rows = [self.row(contact) for contact in offered.stale]
                await self.services.campaigns.load("1", rows, preview_limits.retry.max_attempts)
                offered = await previews.offer(event, entry, preview_limits)
            return offered
        if what == "accepted":
            answered = await previews.accept(event, entry, preview_limits)
            assert isinstance(answered, str), "there is no law to ask for"
            return answered
        return await previews.skip(event, entry)

    async def told(self) -> list[dict[str, Any]]:
        """Everything the agents' programs got."""
        entries: Any = await self.client.xrange("dialer:previews")
        return [{**fields, "data": msgspec.json.decode(fields["data"])} for _, fields in entries]
