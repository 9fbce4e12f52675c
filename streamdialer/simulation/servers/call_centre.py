"""The running call centre: the world at a multiple of the wall clock, behind HTTP and Redis."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT, close, connect
from streamdialer.broker.hangups import HangupRequests
from streamdialer.broker.keys import Keys
from streamdialer.simulation.servers.backend import Backend
from streamdialer.simulation.servers.dialer_api import DialerApi, OriginateRequest
from streamdialer.simulation.servers.event_writer import Distort, EventWriter
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.config import CentreConfig
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import (
    AgentRow,
    AgentRows,
    Call,
    CallList,
    Id,
    QueueAgents,
    SourceLive,
)

EVENT_SOURCE = "call centre"
RETRY_S = 0.2
MIN_STEP_S = 0.002
"""Shortest wall-clock time between two steps of the world: the events of one step go out as one batch."""


class CallCentre:
    """An async context manager; everything it starts ends with it."""

    def __init__(
        self,
        world: World,
        redis_url: str,
        *,
        speed: float = 1.0,
        config: CentreConfig | None = None,
        keys: Keys | None = None,
        distort: Distort | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        """`speed`: seconds of life per wall-clock second.

        `distort` may change the events on their way to Redis; `is_late` says whether it holds some.
        """
        self.world = world
        self.speed = speed
        self.redis_url = redis_url
        self.config = config or CentreConfig()
        self.keys = keys or Keys()
        self._redis = connect(redis_url)
        self._watching_since = datetime.now(UTC)
        self._events = EventWriter(self._redis, self.keys.stream("events"), self._list_calls)
        self._distort = distort
        self._is_late = is_late
        self.backend = Backend(world, self.config, lambda: self.now)
        self.dialer_api = DialerApi(world, self.config, lambda: self.now, self._redis, self.keys, self._place)
        self._opened_at: float | None = None
        self._opened_life = world.now
        self._wake = anyio.Event()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            opening.push_async_callback(close, self._redis)
            tasks = await opening.enter_async_context(anyio.create_task_group())
            opening.callback(tasks.cancel_scope.cancel)
            services = (self.backend, self.dialer_api) if self.config.serves_backend else (self.dialer_api,)
            for service in services:
                opening.push_async_callback(service.stop)
                await service.start()
            self._opened_at = monotonic()
            tasks.start_soon(self._live, name="call centre")
            tasks.start_soon(self._events.run, name="call centre events")
            tasks.start_soon(self._take_calls_back, name="call centre hang-ups")
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._open.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if group.exceptions == (error,):
                return False  # the error of the `async with` body goes on as it was raised
            raise

    @property
    def now(self) -> float:
        """Seconds of life."""
        if self._opened_at is None:
            return self._opened_life
        return self._opened_life + (monotonic() - self._opened_at) * self.speed

    @property
    def urls(self) -> dict[str, str]:
        """The URLs that a dialer needs, by the names of its settings."""
        return {
            "redis_url": self.redis_url,
            "backend_url": self.backend.url,
            "dialer_api_url": self.dialer_api.url,
        }

    def live_calls(self) -> list[Call]:
        """Calls placed and not ended."""
        return list(self.world.live.values())

    def list_calls(self) -> None:
        """Writes which calls are up."""
        self._events.list_calls()

    def list_agents(self, queue: str) -> None:
        """Writes what the agents of the queue do, after all that happened so far."""
        self._deliver()
        rows = [AgentRow(agent_id=agent.id, state=agent.state) for agent in self.world.queue(queue).agents]
        self._events.add([QueueAgents(AgentRows(queue=queue, source=EVENT_SOURCE, agents=rows))])

    def restart_event_source(self) -> None:
        """The event source begins to watch now; it writes which calls are up."""
        self._watching_since = datetime.now(UTC)
        self.list_calls()

    def summary(self) -> Audit:
        """The auditor's figures up to now."""
        audit = self.world.audit(self.now)
        self._wake.set()
        return msgspec.structs.replace(audit, events_waiting=self._events.waiting)

    async def start_campaign(self, campaign_id: Id) -> None:
        """Does what the Dialer API does when a campaign is started; raises redis.RedisError."""
        started_at = datetime.now(UTC).isoformat()
        await self._announce(campaign_id, "started", {"status": "active", "started_at": started_at})

    async def pause_campaign(self, campaign_id: Id) -> None:
        """Does what the Dialer API does when a campaign is paused; raises redis.RedisError."""
        await self._announce(campaign_id, "paused", {"status": "paused"})

    async def drained(self) -> None:
        """Returns when all events so far are in Redis."""
        self._deliver()
        await self._events.drained()

    async def _announce(self, campaign_id: Id, change: str, fields: dict[str, str]) -> None:
        self.world.campaigns[campaign_id].status = fields["status"]
        client: Any = self._redis
        await client.hset(self.keys.campaign(str(campaign_id)), mapping=fields)
        await client.publish(self.keys.channel, f"campaign:{change}:{campaign_id}")

    async def _take_calls_back(self) -> None:
        """Hangs up what the ledger wants no more, as the telephone system is asked to."""
        requests = HangupRequests(self._redis, self.keys)
        while True:
            try:
                attempts = await requests.read(1000)
            except (RedisError, *TRANSIENT):  # Redis may be down in a test; the event writer says so
                await anyio.sleep(RETRY_S)
                continue
            for attempt in attempts:
                self.world.take_back(self.now, attempt)
            if attempts:
                self._wake.set()

    def _place(self, request: OriginateRequest, key: str | None) -> Call:
        timeout = request.timeout * self.speed
        call = self.world.originate(
            self.now, request.campaign_id, request.contact_id, request.phone_number, key, timeout
        )
        self._wake.set()
        return call

    def _list_calls(self) -> SourceLive | None:
        self._deliver()
        if self._is_late():
            return None
        calls = [call.key or call.id for call in self.world.live.values()]
        since = self._watching_since.isoformat()
        return SourceLive(CallList(source=EVENT_SOURCE, since=since, calls=calls))

    def _deliver(self) -> None:
        events = self.world.advance(self.now)
        for event in events:
            if event.type in ("call_answered", "call_failed") and event.data.call_id:
                self.dialer_api.stopped_ringing(event.data.call_id)
        if self._distort is None:
            self._events.add(events)
        elif events:
            self._distort(events, self._events.add)

    async def _live(self) -> None:
        while True:
            self._wake = anyio.Event()
            self._deliver()
            next_at = self.world.next_at()
            if next_at is None:
                await self._wake.wait()
                continue
            with anyio.move_on_after(max(MIN_STEP_S, (next_at - self.now) / self.speed)):
                await self._wake.wait()
