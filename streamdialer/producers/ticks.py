"""The tick producer: a tick per active campaign and kind, when its time slot has come.

Any number may run: the script that adds a tick remembers the slot. Active campaigns are found by the messages the
Dialer API publishes and, for those who only HSET a status, by a bounded scan of the public hashes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import msgspec
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT, is_cluster, make_ready
from streamdialer.broker.keys import CHANNEL, Keys
from streamdialer.broker.scripts import Scripts, backoff_s
from streamdialer.broker.shutdown import ShutdownSignal
from streamdialer.errors import StreamdialerError
from streamdialer.ledger import QueueLedger, TickLedger
from streamdialer.model import TickKind, normalise_id

log = logging.getLogger(__name__)
SCAN_COUNT: Final = 1000
LOOK_INTERVAL_S: Final = 0.5
LISTEN_S: Final = 0.5


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between ticks of one campaign, per kind; `cleanup_after_s` counts from the campaign's end."""

    dial_interval_s: float
    retry_interval_s: float
    stats_interval_s: float
    cleanup_after_s: float
    scan_keys_per_s: int

    def kinds(self) -> dict[TickKind, float]:
        return {"dial": self.dial_interval_s, "retry": self.retry_interval_s, "stats": self.stats_interval_s}


class TickProducer:
    """Writes ticks until the run stops."""

    def __init__(self, scripts: Scripts, keys: Keys, schedule: Schedule, run: ShutdownSignal) -> None:
        self._client = scripts.client
        self._ticks = TickLedger(scripts, keys)
        self._queues = QueueLedger(scripts, keys)
        self._keys = keys
        self._schedule = schedule
        self._run = run
        self._active: dict[str, None] = {}

    async def once(self) -> int:
        """Finds the active campaigns and adds every tick that is due; returns how many."""
        self._active = dict.fromkeys(await self._scan(paced=False))
        return await self._add_due()

    async def serve(self) -> None:
        log.info("tick producer started")
        async with anyio.create_task_group() as tasks:
            for duty in (self._listen, self._look_around, self._add_on_time):
                tasks.start_soon(self._keep, duty)
            await self._run.wait_stopping()
            tasks.cancel_scope.cancel()
        log.info("tick producer stopped")

    async def _keep(self, duty: Callable[[], Awaitable[None]]) -> None:
        """Runs a duty again after trouble, forever; one log line per change of state."""
        failures = 0
        while True:
            started = anyio.current_time()
            try:
                await duty()
            except (RedisError, *TRANSIENT, StreamdialerError) as error:
                if anyio.current_time() - started > 10:
                    failures = 0
                if failures == 0:
                    log.error("will try again", extra={"duty": duty.__name__.strip("_"), "error": str(error)})
                await anyio.sleep(backoff_s(failures))
                failures += 1

    async def _listen(self) -> None:
        """A started campaign gets its first tick at once."""
        await make_ready(self._client)
        pubsub = self._client.pubsub()
        try:
            await pubsub.subscribe(CHANNEL)
            while True:
                message: Any = await pubsub.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
                if message is not None:
                    await self._hear(str(message["data"]))
        finally:
            with anyio.CancelScope(shield=True):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _hear(self, message: str) -> None:
        kind, _, raw = message.rpartition(":")
        if kind != "campaign:started":
            return
        try:
            campaign = normalise_id(raw)
        except ValueError as error:
            log.warning(
                "message names no campaign", extra={"message_text": message[:200], "error": str(error)}
            )
            return
        self._active[campaign] = None
        added = await self._ticks.enqueue("dial", [campaign])
        log.info("campaign started", extra={"campaign": campaign, "tick": added[0] if added else None})

    async def _look_around(self) -> None:
        while True:
            self._active = dict.fromkeys(await self._scan(paced=True))
            await anyio.sleep(min(1.0, self._schedule.dial_interval_s / 4))

    async def _scan(self, *, paced: bool) -> list[str]:
        """The active campaigns among all public hashes."""
        found: list[str] = []
        pause_s = SCAN_COUNT / self._schedule.scan_keys_per_s if paced else 0.0
        if is_cluster(self._client):
            pattern = self._keys.campaign_pattern
            return await self._active_among(
                [str(key) async for key in self._client.scan_iter(pattern, count=SCAN_COUNT)]
            )
        cursor = 0
        while True:
            cursor, names = await self._client.scan(
                cursor, match=self._keys.campaign_pattern, count=SCAN_COUNT
            )
            found += await self._active_among([str(name) for name in names])
            if cursor == 0:
                return found
            await anyio.sleep(pause_s)

    async def _active_among(self, names: list[str]) -> list[str]:
        campaigns = []
        for name in names:
            raw = self._keys.campaign_of(name)
            try:
                campaigns += [normalise_id(raw)] if raw else []
            except ValueError:
                log.warning("a key looks like a campaign and is none", extra={"key": name})
        pipe = self._client.pipeline(transaction=False)
        for campaign in campaigns:
            pipe.hget(self._keys.campaign(campaign), "status")
        statuses = await pipe.execute(raise_on_error=False) if campaigns else []
        return [campaign for campaign, status in zip(campaigns, statuses, strict=True) if status == "active"]

    async def _add_on_time(self) -> None:
        while True:
            await self._add_due()
            await anyio.sleep(min(LOOK_INTERVAL_S, self._schedule.dial_interval_s / 4))

    async def _add_due(self) -> int:
        added = 0
        active = list(self._active)
        for kind, interval_s in self._schedule.kinds().items():
            added += len(await self._ticks.enqueue(kind, active, interval_s))
        ended = [
            campaign for campaign in await self._queues.known_campaigns() if campaign not in self._active
        ]
        added += len(await self._ticks.enqueue("cleanup", ended, self._schedule.cleanup_after_s))
        return added
