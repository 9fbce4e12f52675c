"""Keeps a number of campaigns alive: each is created, dialed to its end, compared, completed, and cleaned up."""

from __future__ import annotations

from typing import Any, Final

import anyio
import msgspec
from redis.asyncio import Redis

from bench.soak.options import RETRY_DELAY_LIFE_S, SoakOptions
from streamdialer.broker.keys import CHANNEL
from streamdialer.simulation import CallCentre, CallCounts, Campaign, Contact

LOOK_EVERY_S: Final = 0.1
DRIFT_AFTER_S: Final = 5.0
"""Counters that are still wrong so long after the last contact was final have drifted."""
STUCK_AFTER_S: Final = 600.0
"""A campaign that has not come to its end by then never will: the run is ended."""
RETRIED: Final = frozenset({"no_answer", "busy", "failed"})
FINAL: Final = frozenset({"completed", "machine", "abandoned", "invalid"})
COUNTERS: Final = ("no_answer", "busy", "failed", "abandoned", "machine")


class ActiveCampaign(msgspec.Struct):
    """A campaign between its creation and the moment nothing is left of it."""

    number: int
    contacts: list[Contact]
    started_at: float
    final_at: float | None = None
    ended_at: float | None = None


class CampaignCycle:
    """`cleaned` counts the campaigns of which nothing is left; `findings` say what went wrong, in words."""

    def __init__(self, centre: CallCentre, client: Redis, options: SoakOptions) -> None:
        self._centre = centre
        self._client = client
        self._options = options
        self._alive: dict[int, ActiveCampaign] = {}
        self._next = 1
        self._closed = False
        self.cleaned = 0
        self.drifted = 0
        self.findings: list[str] = []

    @property
    def alive(self) -> int:
        return len(self._alive)

    @property
    def is_over(self) -> bool:
        return not self._alive and (self._closed or self._next > self._options.campaigns)

    def close(self) -> None:
        """No campaign is started any more."""
        self._closed = True

    async def run(self) -> None:
        """Returns when the last campaign has been cleaned up, or is stuck; a stuck one is the last to be started."""
        while not self.is_over:
            while (
                not self._closed
                and len(self._alive) < self._options.at_once
                and self._next <= self._options.campaigns
            ):
                await self._create()
            await self._look()
            await anyio.sleep(LOOK_EVERY_S)

    async def _create(self) -> None:
        number, options, world = self._next, self._options, self._centre.world
        self._next += 1
        campaign = Campaign(
            id=number,
            name=f"Campaign {number}",
            queue_name=f"sales-{1 + number % options.queues}",
            dial_mode=("progressive", "predictive")[number // options.queues % 2],
            pacing="adaptive",  # of the predictive ones
            retry_delay=RETRY_DELAY_LIFE_S / options.speed,
        )
        first = (number - 1) * options.contacts + 1
        contacts = [
            Contact(id=contact, campaign_id=number, phone_number=f"+1{contact:010d}")
            for contact in range(first, first + options.contacts)
        ]
        world.add_campaign(campaign)
        world.add_contacts(contacts)
        self._alive[number] = ActiveCampaign(number, contacts, anyio.current_time())
        await self._centre.start_campaign(number)

    async def _look(self) -> None:
        now, ended = anyio.current_time(), []
        for one in list(self._alive.values()):
            if one.ended_at is not None:
                ended.append(one)
            elif one.final_at is not None or self._is_final(one):
                one.final_at = one.final_at or now
                if await self._is_true(one, is_last_look=now - one.final_at > DRIFT_AFTER_S):
                    await self._end(one)
                    one.ended_at = now
            if now - one.started_at > STUCK_AFTER_S:
                self._find(f"campaign {one.number} is stuck: {[contact.status for contact in one.contacts]}")
                self._closed = True
                del self._alive[one.number]
        pipe = self._client.pipeline(transaction=False)
        for one in ended:
            pipe.exists(self._centre.keys.campaign(str(one.number)))
        left: list[int] = await pipe.execute() if ended else []
        for one, is_left in zip(ended, left, strict=True):
            if not is_left and one.number in self._alive:
                self.cleaned += 1
                self._forget(one)

    def _is_final(self, one: ActiveCampaign) -> bool:
        """As the backend shows it."""
        most = self._centre.world.campaigns[one.number].max_retries
        return all(
            contact.status in FINAL or (contact.status in RETRIED and contact.attempts >= most)
            for contact in one.contacts
        )

    async def _is_true(self, one: ActiveCampaign, *, is_last_look: bool) -> bool:
        """Whether the public numbers are those of the telephone network, or will not become so."""
        public: Any = await self._client.hgetall(self._centre.keys.campaign(str(one.number)))
        tally = self._centre.world.auditor.campaigns.get(one.number, CallCounts())
        wanted = {name: getattr(tally, name) for name in COUNTERS}
        wanted |= {"total_calls": tally.originates, "answered_calls": tally.answered + tally.machine}
        wanted |= {"active_calls": 0, "connected_calls": 0}
        wrong = {
            name: (public.get(name), right)
            for name, right in wanted.items()
            if public.get(name) != str(right)
        }
        if wrong and is_last_look:
            self.drifted += 1
            self._find(f"campaign {one.number}: counters (shown, true): {wrong}")
        return not wrong or is_last_look

    async def _end(self, one: ActiveCampaign) -> None:
        """What the backend and the Dialer API do when a campaign is completed."""
        name = str(one.number)
        await self._client.hset(self._centre.keys.campaign(name), "status", "completed")
        await self._client.publish(CHANNEL, f"campaign:stopped:{name}")

    def _forget(self, one: ActiveCampaign) -> None:
        """The simulated backend keeps campaigns for ever; this one lets go, so that it stays fast."""
        del self._alive[one.number]
        world = self._centre.world
        world.campaigns.pop(one.number, None)
        for contact in one.contacts:
            world.contacts.pop(contact.id, None)

    def _find(self, what: str) -> None:
        if len(self.findings) < 20:
            self.findings.append(what)
