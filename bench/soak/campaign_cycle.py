"""Keeps a number of campaigns active: each is created, dialed to its end, checked, completed and cleaned up."""

from __future__ import annotations

from typing import Any, Final

import anyio
import msgspec
from redis.asyncio import Redis

from bench.public_counters import expected_counters
from bench.soak.options import RETRY_DELAY_LIFE_S, SoakOptions
from streamdialer.broker.keys import Keys
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import CallCounts
from streamdialer.simulation.world.entities import Campaign, Contact

POLL_INTERVAL_S: Final = 0.1
DRIFT_AFTER_S: Final = 5.0
"""Counters that are still wrong this long after the last contact was final have drifted."""
STUCK_AFTER_S: Final = 600.0
"""A campaign that has not ended after this time never will: the run ends."""
RETRIED: Final = frozenset({"no_answer", "busy", "failed"})
MAX_FINDINGS: Final = 20
FINAL: Final = frozenset({"completed", "machine", "abandoned", "invalid"})


class ActiveCampaign(msgspec.Struct):
    """A campaign from its creation to its cleanup."""

    number: int
    contacts: list[Contact]
    started_at: float
    final_at: float | None = None
    ended_at: float | None = None


class CampaignCycle:
    """`cleaned` counts the campaigns that were cleaned up; `findings` says in words what went wrong."""

    def __init__(self, centre: CallCentre, client: Redis, options: SoakOptions) -> None:
        self._centre = centre
        self._client = client
        self._options = options
        self._active: dict[int, ActiveCampaign] = {}
        self._next_number = 1
        self._closed = False
        self.cleaned = 0
        self.drifted = 0
        self.findings: list[str] = []

    @property
    def active(self) -> int:
        return len(self._active)

    @property
    def is_over(self) -> bool:
        return not self._active and (self._closed or self._next_number > self._options.campaigns)

    def close(self) -> None:
        """No more campaigns are started."""
        self._closed = True

    async def run(self) -> None:
        """Returns when the last campaign has been cleaned up. After one got stuck, no more are started."""
        while not self.is_over:
            while (
                not self._closed
                and len(self._active) < self._options.concurrent
                and self._next_number <= self._options.campaigns
            ):
                await self._create()
            await self._check_all()
            await anyio.sleep(POLL_INTERVAL_S)

    async def _create(self) -> None:
        number, options, world = self._next_number, self._options, self._centre.world
        self._next_number += 1
        campaign = Campaign(
            id=number,
            name=f"Campaign {number}",
            queue_name=f"sales-{1 + number % options.queues}",
            dial_mode=("progressive", "predictive")[number // options.queues % 2],
            pacing="adaptive",  # for the predictive campaigns
            retry_delay=RETRY_DELAY_LIFE_S / options.speed,
        )
        first = (number - 1) * options.contacts + 1
        contacts = [
            Contact(id=contact, campaign_id=number, phone_number=f"+1{contact:010d}")
            for contact in range(first, first + options.contacts)
        ]
        world.add_campaign(campaign)
        world.add_contacts(contacts)
        self._active[number] = ActiveCampaign(number, contacts, anyio.current_time())
        await self._centre.start_campaign(number)

    async def _check_all(self) -> None:
        now, ended = anyio.current_time(), []
        for campaign in list(self._active.values()):
            if campaign.ended_at is not None:
                ended.append(campaign)
            elif campaign.final_at is not None or self._is_final(campaign):
                campaign.final_at = campaign.final_at or now
                if await self._has_settled_counters(
                    campaign, is_last_check=now - campaign.final_at > DRIFT_AFTER_S
                ):
                    await self._end(campaign)
                    campaign.ended_at = now
            if now - campaign.started_at > STUCK_AFTER_S:
                self._add_finding(
                    f"campaign {campaign.number} is stuck: {[contact.status for contact in campaign.contacts]}"
                )
                self._closed = True
                del self._active[campaign.number]
        pipe = self._client.pipeline(transaction=False)
        for campaign in ended:
            pipe.exists(self._centre.keys.campaign(str(campaign.number)))
        left: list[int] = await pipe.execute() if ended else []
        for campaign, is_left in zip(ended, left, strict=True):
            if not is_left and campaign.number in self._active:
                self.cleaned += 1
                self._remove(campaign)

    def _is_final(self, campaign: ActiveCampaign) -> bool:
        """Whether all its contacts are final in the backend."""
        max_retries = self._centre.world.campaigns[campaign.number].max_retries
        return all(
            contact.status in FINAL or (contact.status in RETRIED and contact.attempts >= max_retries)
            for contact in campaign.contacts
        )

    async def _has_settled_counters(self, campaign: ActiveCampaign, *, is_last_check: bool) -> bool:
        """Whether the public counters are those of the telephone network, or this was the last check."""
        public: Any = await self._client.hgetall(self._centre.keys.campaign(str(campaign.number)))
        counts = self._centre.world.auditor.campaigns.get(campaign.number, CallCounts())
        wrong = {
            name: (public.get(name), right)
            for name, right in expected_counters(counts).items()
            if public.get(name) != str(right)
        }
        if wrong and is_last_check:
            self.drifted += 1
            self._add_finding(f"campaign {campaign.number}: counters (public, true): {wrong}")
        return not wrong or is_last_check

    async def _end(self, campaign: ActiveCampaign) -> None:
        """Does what the backend and the Dialer API do when a campaign is completed."""
        name = str(campaign.number)
        await self._client.hset(self._centre.keys.campaign(name), "status", "completed")
        await self._client.publish(Keys().channel, f"campaign:stopped:{name}")

    def _remove(self, campaign: ActiveCampaign) -> None:
        """Removes the campaign from the simulated backend, which stays fast that way."""
        del self._active[campaign.number]
        world = self._centre.world
        world.campaigns.pop(campaign.number, None)
        for contact in campaign.contacts:
            world.contacts.pop(contact.id, None)

    def _add_finding(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
