"""Whose turn it is: the campaigns of a queue that can use its free agents now."""

from __future__ import annotations

from typing import Final

import msgspec

from streamdialer.consumers.dialing.queue_pacing import read_pacing, snapshot_of
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.ledger.queues import QueueState
from streamdialer.pacing.decide import calls_to_place

MEMBERS_MAX_AGE_S: Final = 1.0
UNUSED_AGENTS_EVERY_S: Final = 1.0


class QueueMembers(msgspec.Struct, frozen=True):
    """The campaigns that use one queue."""

    campaigns: dict[str, float]
    """Campaign -> when it last got calls, ledger ms."""
    sharing: dict[str, list[str]]
    """The campaigns of the queues that share agents with it."""


class QueueTurns:
    """Reads queues; a queue's campaigns are up to a second old."""

    def __init__(self, services: Services) -> None:
        self._queues = services.queues
        self._members: TTLCache[QueueMembers] = TTLCache(MEMBERS_MAX_AGE_S)
        self._unused: TTLCache[bool] = TTLCache(UNUSED_AGENTS_EVERY_S)

    async def members(self, queue: str) -> dict[str, float]:
        """All campaigns of the queue -> when they last got calls, ledger ms."""
        return (await self._members_of(queue)).campaigns

    async def next_campaigns(self, queue: str) -> dict[str, float]:
        """The queue's campaigns that would place a call now; once a second also those that may fetch contacts.

        Each tick decides for itself: this only saves the ticks of campaigns that would find no agent left.
        """
        members = await self._members_of(queue)
        if len(members.campaigns) <= 1:
            return members.campaigns
        state = await self._snapshot(queue, members)
        if state is None:
            self._members.pop(queue)
            members = await self._members_of(queue)
            state = await self._snapshot(queue, members)
        if state is None:
            return members.campaigns
        return self._next(queue, state)

    async def _snapshot(self, queue: str, members: QueueMembers) -> QueueState | None:
        return await self._queues.snapshot(queue, list(members.campaigns), sharing=members.sharing)

    def _next(self, queue: str, state: QueueState) -> dict[str, float]:
        pacing = {
            campaign.id: read_pacing(campaign.pacing) for campaign in state.campaigns if campaign.pacing
        }
        calls, unused_agents = calls_to_place(snapshot_of(state, pacing))
        fetches = unused_agents > 0 and self._unused.get(queue, UNUSED_AGENTS_EVERY_S) is None
        if fetches:
            self._unused.put(queue, True)
        return {
            campaign.id: campaign.served
            for campaign in state.campaigns
            if campaign.id not in pacing
            or calls[campaign.id]
            or (pacing[campaign.id].is_adaptive and campaign.ready)
            or (fetches and not campaign.ready)
        }

    async def _members_of(self, queue: str) -> QueueMembers:
        members = self._members.get(queue, MEMBERS_MAX_AGE_S)
        if members is None:
            campaigns = await self._queues.campaigns(queue)
            sharing = await self._queues.sharing(queue) if len(campaigns) > 1 else {}
            members = self._members.put(queue, QueueMembers(campaigns, sharing))
        return members
