"""Wake-ups: when an agent is freed or a call ends, the campaigns of the queue get a dial tick at once."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.observability import tracing

COALESCE_S = 0.01
QUEUE_MEMBERS_MAX_AGE_S = 1.0
DIRECTORY_MAX_AGE_S = 5.0
REREAD_S = 1.0


class WakeupScheduler(BackgroundDuty):
    """Collects requests for ten milliseconds, then adds one dial tick per campaign that has none waiting."""

    name = "wake-ups"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queues: dict[str, tracing.SpanLink | None] = {}
        self._timers: dict[str, float] = {}
        self._is_requested = anyio.Event()
        self._rereads: dict[str, float] = {}
        self._reread: TTLCache[float] = TTLCache()
        self._members: TTLCache[dict[str, float]] = TTLCache(DIRECTORY_MAX_AGE_S)
        self._queue_of: TTLCache[str] = TTLCache(DIRECTORY_MAX_AGE_S)
        self._reading_queue = anyio.Lock()

    def queue(self, queue: str) -> None:
        """Requests a dial tick for each campaign of the queue."""
        self._queues[queue] = self._queues.get(queue) or tracing.current_link()
        self._is_requested.set()

    def queues(self, names: Sequence[str]) -> None:
        """Requests a dial tick for each campaign of the queues."""
        for name in names:
            self.queue(name)

    def reread_agents(self, queue: str) -> None:
        """Reads the queue's agent list again with the next tick, which follows at once; at most once a second."""
        last_s = self._reread.get(queue)
        at = anyio.current_time() if last_s is None else last_s + REREAD_S
        self._rereads.setdefault(queue, at)
        self._is_requested.set()

    def campaign_within(self, campaign: str, seconds: float) -> None:
        """Schedules a dial tick; replaces an earlier timer."""
        self._timers[campaign] = anyio.current_time() + seconds
        self._is_requested.set()

    async def queue_of(self, campaign: str) -> str:
        """The queue of a campaign that the ledger knows, else ''; up to five seconds old."""
        queue = self._queue_of.get(campaign, DIRECTORY_MAX_AGE_S)
        if queue is not None:
            return queue
        async with self._reading_queue:
            queue = self._queue_of.get(campaign, DIRECTORY_MAX_AGE_S)
            if queue is not None:
                return queue  # another task has read it meanwhile
            return self._queue_of.put(campaign, await self._services.queues.queue_of(campaign))

    async def queue_named(self, queue: str, campaign: str) -> str:
        """The queue an event means: that of its campaign, else the one it names; '' when no campaign is in it."""
        found = await self.queue_of(campaign) if campaign else ""
        return found or (queue if queue and await self._members_of(queue) else "")

    async def turn(self) -> float:
        """Waits until a tick is requested or a timer ends, then adds the ticks."""
        with anyio.move_on_after(self._until_timer_s()):
            await self._is_requested.wait()
            await anyio.sleep(COALESCE_S)
        self._is_requested = anyio.Event()
        await self._invalidate_agents()
        queues, self._queues = self._queues, {}
        campaigns = {name: "" for name, at in self._timers.items() if at <= anyio.current_time()}
        for campaign in campaigns:
            del self._timers[campaign]
        served: dict[str, float] = {}
        for queue, cause in queues.items():
            members = await self._members_of(queue)
            served |= members
            campaigns |= dict.fromkeys(members, tracing.wakeup_traceparent(cause))
        if campaigns:
            # Of queues that share agents, the campaign that got calls longest ago comes first, too.
            campaigns = {
                name: campaigns[name] for name in sorted(campaigns, key=lambda name: served.get(name, 0.0))
            }
            woken = campaigns if any(campaigns.values()) else None
            await self._services.ticks.enqueue("dial", list(campaigns), traces=woken)
        return 0.0

    def _until_timer_s(self) -> float | None:
        timers = [*self._timers.values(), *self._rereads.values()]
        return max(0.0, min(timers) - anyio.current_time()) if timers else None

    async def _invalidate_agents(self) -> None:
        now = anyio.current_time()
        for queue in [name for name, at in self._rereads.items() if at <= now]:
            await self._services.queues.invalidate_agents(queue)
            self._reread.put(queue, now)
            del self._rereads[queue]
            self.queue(queue)

    async def _members_of(self, queue: str) -> dict[str, float]:
        members = self._members.get(queue, QUEUE_MEMBERS_MAX_AGE_S)
        if members is None:
            members = self._members.put(queue, await self._services.queues.campaigns(queue))
        return members
