"""One look at the running demo: what the ledger, the streams and the world say in this moment."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import GROUP, STAGES, Keys, Stage
from streamdialer.simulation import Audit, CallCentre

STATES: Final = ("ready", "deferred", "previewing", "reserved", "dialing", "connected", "orphaned", "final")


class CampaignSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign in the ledger."""

    id: str
    status: str
    ready: int
    deferred: int
    previewing: int
    reserved: int
    dialing: int
    connected: int
    orphaned: int
    final: int
    overdue: int
    """Of the unanswered, those past their deadline."""
    untold: int
    """Contacts with a state the backend has not confirmed."""

    @property
    def unfinished(self) -> int:
        on_the_way = self.reserved + self.dialing + self.connected + self.orphaned
        return self.ready + self.deferred + self.previewing + on_the_way

    @property
    def is_stuck(self) -> bool:
        """Nothing will happen by itself: calls nobody hears of any more forbid the next ones."""
        return self.overdue > 0 and self.overdue == self.dialing and not self.connected


class StreamSnapshot(msgspec.Struct, frozen=True):
    """A stream of a stage."""

    length: int
    read: int
    in_hand: dict[str, int]
    """Entries each consumer works on."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a viewer is shown."""

    campaigns: list[CampaignSnapshot]
    streams: dict[Stage, StreamSnapshot]
    dead: int
    audit: Audit
    agents: Counter[str]
    """Agents by state."""

    @property
    def is_stuck(self) -> bool:
        """No call is live, and every campaign with work left waits for events that will never come."""
        unfinished = [campaign for campaign in self.campaigns if campaign.unfinished]
        return (
            not self.audit.live_calls
            and not self.audit.events_waiting
            and bool(unfinished)
            and all(campaign.is_stuck for campaign in unfinished)
        )

    def total(self, place: str) -> int:
        """Contacts of all campaigns in `place`."""
        return sum(getattr(campaign, place) for campaign in self.campaigns)


async def take_snapshot(client: Redis, keys: Keys, centre: CallCentre) -> Snapshot:
    """Raises redis.RedisError."""
    audit = centre.summary()
    campaigns = [str(campaign) for campaign in centre.world.campaigns]
    # Redis runs on this machine: its clock is ours.
    now = round(time.time() * 1000)
    pipe = client.pipeline(transaction=True)
    for campaign in campaigns:
        pipe.hget(keys.campaign(campaign), "status")
        for place in STATES:
            pipe.zcard(getattr(keys, place)(campaign))
        pipe.zcount(keys.dialing(campaign), "-inf", now)
        pipe.hlen(keys.outbox(campaign))
    pipe.xlen(keys.stream("dead"))
    for stage in STAGES:
        pipe.xlen(keys.stream(stage))
    answers: list[Any] = await pipe.execute()
    width = len(STATES) + 3
    looks = []
    for number, campaign in enumerate(campaigns):
        status, *counts, overdue, untold = answers[number * width : (number + 1) * width]
        looks.append(
            CampaignSnapshot(
                id=campaign,
                status=status or "draft",
                overdue=overdue,
                untold=untold,
                **dict(zip(STATES, counts, strict=True)),
            )
        )
    dead, *lengths = answers[len(campaigns) * width :]
    streams = {
        stage: await _look_at_stream(client, keys.stream(stage), length)
        for stage, length in zip(STAGES, lengths, strict=True)
    }
    agents = Counter(agent.state for agent in centre.world.agents.values())
    return Snapshot(campaigns=looks, streams=streams, dead=dead, audit=audit, agents=Counter(agents))


async def _look_at_stream(client: Redis, stream: str, length: int) -> StreamSnapshot:
    pipe = client.pipeline(transaction=False)
    pipe.xinfo_groups(stream)
    pipe.xinfo_consumers(stream, GROUP)
    groups, consumers = await pipe.execute(raise_on_error=False)
    if isinstance(groups, Exception) or isinstance(consumers, Exception):  # no replica has made it yet
        return StreamSnapshot(length, 0, {})
    read = next((group.get("entries-read") or 0 for group in groups if group["name"] == GROUP), 0)
    return StreamSnapshot(length, read, {one["name"]: one["pending"] for one in consumers})
