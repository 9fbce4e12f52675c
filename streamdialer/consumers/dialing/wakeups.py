"""Wake-ups: when an agent is freed or a call ends, the campaigns whose turn it is get a dial tick at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.consumers.dialing.queue_turns import QueueTurns
from streamdialer.consumers.dialing.side_by_side import run_side_by_side
from streamdialer.consumers.services import Services
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.model import has_agents
from streamdialer.observability import tracing

DIRECTORY_MAX_AGE_S = 5.0
REREAD_S = 1.0


class WakeupScheduler(BackgroundDuty):
    """Adds one dial tick per campaign that has none waiting: at once, then for what has gathered meanwhile."""

    name = "wake-ups"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queues: dict[str, tracing.SpanLink | None] = {}
        self._timers: dict[str, float] = {}
        self._is_requested = anyio.Event()
        self._rereads: dict[str, float] = {}
        self._reread: TTLCache[float] = TTLCache()
        self._turns = QueueTurns(services)
        self._queue_of: TTLCache[str] = TTLCache(DIRECTORY_MAX_AGE_S)
        self._reading_queue = anyio.Lock()

    def queue(self, queue: str) -> None:
        """Requests a dial tick for each campaign of the queue that can use an agent."""
        self._queues[queue] = self._queues.get(queue) or tracing.current_link()
        self._is_requested.set()

    def queues(self, names: Sequence[str]) -> None:
        """Requests a dial tick for each campaign of the queues that can use an agent."""
        for name in names:
            self.queue(name)

    def reread_agents(self, queue: str) -> None:
        """Reads the queue's agent list again with the next tick, which follows at once; at most once a second."""
        last_s = self._reread.get(queue)
        at = anyio.current_time() if last_s is None else last_s + REREAD_S
        self._rereads.setdefault(queue, at)
        self._is_requested.set()

    def campaign_within(self, campaign: str, seconds: float, *, keeps_earlier: bool = False) -> None:
        """Schedules a dial tick in place of the one scheduled before; `keeps_earlier`: unless that one is earlier."""
        at = anyio.current_time() + seconds
        self._timers[campaign] = min(at, self._timers.get(campaign, at)) if keeps_earlier else at
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
        """The queue of an agent's event: its campaign's, else the one it names; '' when no campaign is in it."""
        found = await self.queue_of(campaign) if campaign else ""
        if found and has_agents(found):
            return found
        return queue if queue and await self._turns.members(queue) else ""

    async def turn(self) -> float:
        """Waits until a tick is requested or a timer ends, then adds the ticks. What fails is requested again."""
        with anyio.move_on_after(self._until_timer_s()):
            await self._is_requested.wait()
        self._is_requested = anyio.Event()
        to_read: set[str] = set()
        timers: dict[str, float] = {}
        queues: dict[str, tracing.SpanLink | None] = {}
        try:
            await self._invalidate_agents(to_read)
            queues, self._queues = self._queues, {}
            timers = {name: at for name, at in self._timers.items() if at <= anyio.current_time()}
            for campaign in timers:
                del self._timers[campaign]
            await self._add_ticks(queues, timers, to_read)
        except Exception:
            self._queues = queues | self._queues
            self._timers = timers | self._timers
            self._rereads = dict.fromkeys(to_read & self._queues.keys(), anyio.current_time()) | self._rereads
            self._is_requested.set()
            raise
        return 0.0

    async def _add_ticks(
        self, queues: dict[str, tracing.SpanLink | None], timers: dict[str, float], to_read: set[str]
    ) -> None:
        """Removes from `queues` and `timers` those whose ticks are added, also when other queues cannot be read."""
        traces = dict.fromkeys(timers, "")
        served: dict[str, float] = {}
        found: list[str] = []

        async def find(queue: str, cause: tracing.SpanLink | None) -> None:
            # The tick of any campaign reads the agent list, so all get one.
            read = self._turns.members if queue in to_read else self._turns.next_campaigns
            campaigns = await read(queue)
            served.update(campaigns)
            traces.update(dict.fromkeys(campaigns, tracing.wakeup_traceparent(cause)))
            found.append(queue)

        try:
            await run_side_by_side(partial(find, queue, cause) for queue, cause in queues.items())
        finally:
            if traces:
                # Of queues that share agents, the campaign that got calls longest ago comes first, too.
                campaigns = sorted(traces, key=lambda name: served.get(name, 0.0))
                woken = traces if any(traces.values()) else None
                await self._services.ticks.enqueue("dial", campaigns, traces=woken)
            for queue in found:
                del queues[queue]
            timers.clear()

    def _until_timer_s(self) -> float | None:
        timers = [*self._timers.values(), *self._rereads.values()]
        return max(0.0, min(timers) - anyio.current_time()) if timers else None

    async def _invalidate_agents(self, queues: set[str]) -> None:
        """Adds to `queues` those whose agent list must be read with the next tick."""
        now = anyio.current_time()
        for queue in [name for name, at in self._rereads.items() if at <= now]:
            await self._services.queues.invalidate_agents(queue)
            self._reread.put(queue, now)
            del self._rereads[queue]
            queues.add(queue)
            self.queue(queue)
