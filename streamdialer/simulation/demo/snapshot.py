"""The running demo at one moment: what Redis has, as `top` reads it, and what the simulated world knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.scripts import Scripts
from streamdialer.operations.overview.collect import overview
from streamdialer.operations.overview.views import CampaignOverview, Overview
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import Audit


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Also what tests and benches wait for."""

    overview: Overview
    audit: Audit
    agents: Counter[str]
    """Agents by state."""

    def total(self, count: str) -> int:
        """The sum over all campaigns of a count of `CampaignOverview`."""
        return sum(getattr(campaign, count) for campaign in self.overview.campaigns)

    @property
    def unfinished(self) -> int:
        """Contacts that are not final."""
        return sum(map(unfinished_of, self.overview.campaigns))

    @property
    def is_stuck(self) -> bool:
        """No call is live, and every campaign with work left waits for events that do not come."""
        unfinished = [campaign for campaign in self.overview.campaigns if unfinished_of(campaign)]
        return (
            not self.audit.live_calls
            and not self.audit.events_waiting
            and bool(unfinished)
            and all(map(is_stuck, unfinished))
        )

    def are_reading(self, consumers: Set[str]) -> bool:
        """Each of the consumers reads every stream."""
        return all(consumers <= stream.consumers.keys() for stream in self.overview.streams)


def unfinished_of(campaign: CampaignOverview) -> int:
    on_the_way = campaign.reserved + campaign.ringing + campaign.connected + campaign.orphaned
    return campaign.ready + campaign.deferred + campaign.previewing + on_the_way


def is_stuck(campaign: CampaignOverview) -> bool:
    """Nothing will happen by itself: calls whose events do not come forbid the next ones."""
    return campaign.silent > 0 and campaign.silent == campaign.ringing and not campaign.connected


async def take_snapshot(client: Redis, centre: CallCentre) -> Snapshot:
    """Raises redis.RedisError, Unreachable."""
    audit = centre.summary()
    async with Scripts(client, patient=False) as scripts:
        now = await overview(scripts, centre.keys)
    agents = Counter[str](agent.state for agent in centre.world.agents.values())
    return Snapshot(overview=now, audit=audit, agents=agents)
