"""Campaigns whose contacts have numbers and caps, and whose clock can be moved by days."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.ledger.types import LoadRow
from streamdialer.model import Attempt, CampaignSettings
from streamdialer.rules.caps import caps_of
from streamdialer.rules.rule_pack import load_pack
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_reader import move_clock

HOUR_S = 3600


class CapsWorld(LedgerWorld):
    """Only caps limit how often a contact is called."""

    def __init__(self, services: Any) -> None:
        super().__init__(services)
        self.max_attempts = 1000
        self.known: dict[str, dict[str, LoadRow]] = {}

    def cap(self, pack: str = "none", **settings: Any) -> None:
        """From now on the campaigns are dialed with these caps, and registries need not be asked."""
        caps = caps_of(load_pack(pack), CampaignSettings(queue_name=self.queue, **settings))
        self.caps = msgspec.structs.replace(caps, registries=[])

    async def know(self, campaign: str, contact: str, *numbers: str, **more: Any) -> None:
        """Loads the contact; opens the campaign when it is new."""
        if campaign not in self.known:
            self.known[campaign] = {}
            await self.open_campaign(campaign, contacts=0)
        call: dict[str, Any] = {"id": int(contact), "phone_number": numbers[0], "n": numbers, **more}
        if len(numbers) > 1:
            call["phones"] = numbers
        row = LoadRow(contact, 5, 0, msgspec.json.encode(call).decode())
        self.known[campaign][contact] = row
        await self.services.campaigns.load(campaign, [row], self.max_attempts)

    @property
    def others(self) -> dict[str, dict[str, float]]:
        """Per campaign, the `others` of its claims: the campaigns of the same queue."""
        return {one: {other: 1.0 for other in self.known if other != one} for one in self.known}

    async def pass_time(self, seconds: float) -> None:
        """Everything that has become due is done, and the backend shows all contacts again."""
        await move_clock(self.client, self.keys, round(seconds))
        for campaign, rows in self.known.items():
            await self.sweep(campaign)
            await self.services.campaigns.load(campaign, list(rows.values()), self.max_attempts)

    async def reserve(self, campaign: str = "1", **limits: Any) -> Attempt:
        return await super().reserve(campaign, others=self.others[campaign], **limits)

    async def call(self, campaign: str = "1", *said: str, **data: Any) -> Attempt:
        """One call more, sent; then its events come."""
        attempt = await self.place_one(campaign)
        for kind in said:
            await self.event(kind, attempt, **data)
        return attempt

    async def missed(self, campaign: str = "1") -> Attempt:
        """An unanswered call, and then the time until the contact may be tried again."""
        attempt = await self.call(campaign, "call_failed", disposition="no_answer")
        await self.pass_time(301)
        return attempt

    async def refused(self, campaign: str = "1") -> dict[str, int]:
        """The number of contacts that a claim skips, by reason; it dials none."""
        claimed = await self.claim(campaign, others=self.others[campaign])
        assert (claimed.dialed, claimed.reason) == (0, None), claimed
        return claimed.skipped or {}

    async def due_in_s(self, contact: str, campaign: str = "1") -> float:
        """The time until the contact is ready again."""
        services = self.services
        due: Any = await services.client.zscore(services.keys.deferred(campaign), contact)
        state = await services.queues.begin_agent_poll(self.queue)
        return (float(due) - state.ledger_ms) / 1000

    async def counted(self, name: str) -> list[str]:
        """What the calls to a number or contact are counted as, oldest first."""
        raw: Any = await self.client.hget(self.keys.call_history, name)
        return [call[2] for call in msgspec.json.decode(raw or "[]")]
