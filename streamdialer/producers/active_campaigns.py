"""Which campaigns are active: the Dialer API publishes it, and scans of the public hashes find it.

A program that only sets the status with HSET publishes nothing: its campaigns are found by the scans, which are slow
enough not to load the server.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.connection import is_cluster, make_ready
from streamdialer.broker.keys import Keys
from streamdialer.ledger.ticks import TickLedger
from streamdialer.model import normalise_id

log = logging.getLogger(__name__)
SCAN_COUNT: Final = 1000
LISTEN_S: Final = 0.5
MAX_SCAN_PAUSE_S: Final = 1.0


class ActiveCampaigns:
    """The active campaigns, as the last scan and the messages since then show them."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._active: dict[str, None] = {}

    def __contains__(self, campaign: str) -> bool:
        return campaign in self._active

    def ids(self) -> list[str]:
        return list(self._active)

    def add(self, campaign: str) -> None:
        self._active[campaign] = None

    async def scan(self, keys_per_s: float | None = None) -> None:
        """Reads all public hashes, at most `keys_per_s` of them a second."""
        active: list[str] = []
        if is_cluster(self._client):
            names = self._client.scan_iter(self._keys.campaign_pattern, count=SCAN_COUNT)
            active = await self._active_among([name async for name in names])
        else:
            cursor: int | None = None
            while cursor != 0:
                cursor, batch = await self._client.scan(
                    cursor or 0, match=self._keys.campaign_pattern, count=SCAN_COUNT
                )
                active += await self._active_among(batch)
                if cursor and keys_per_s:
                    await anyio.sleep(SCAN_COUNT / keys_per_s)
        self._active = dict.fromkeys(active)

    async def _active_among(self, names: Iterable[object]) -> list[str]:
        campaigns = []
        for name in map(str, names):
            raw = self._keys.campaign_of(name)
            try:
                campaigns += [normalise_id(raw)] if raw else []
            except ValueError:
                log.warning(
                    "a key looks like a campaign's, but its id is invalid: ignored", extra={"key": name}
                )
        pipe = self._client.pipeline(transaction=False)
        for campaign in campaigns:
            pipe.hget(self._keys.campaign(campaign), "status")
        statuses = await pipe.execute(raise_on_error=False) if campaigns else []
        return [campaign for campaign, status in zip(campaigns, statuses, strict=True) if status == "active"]


class CampaignScan(BackgroundDuty):
    name = "campaign scan"

    def __init__(self, campaigns: ActiveCampaigns, keys_per_s: float, dial_interval_s: float) -> None:
        self._campaigns = campaigns
        self._keys_per_s = keys_per_s
        self._pause_s = min(MAX_SCAN_PAUSE_S, dial_interval_s / 4)

    async def turn(self) -> float:
        await self._campaigns.scan(self._keys_per_s)
        return self._pause_s


class StartMessages(BackgroundDuty):
    """Gives a campaign its first dial tick as soon as the Dialer API publishes that it has started."""

    name = "start messages"

    def __init__(self, client: Redis, keys: Keys, campaigns: ActiveCampaigns, ticks: TickLedger) -> None:
        self._client = client
        self._channel = keys.channel
        self._campaigns = campaigns
        self._ticks = ticks
        self._pubsub: PubSub

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        await make_ready(self._client)
        self._pubsub = self._client.pubsub()
        try:
            await self._pubsub.subscribe(self._channel)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def turn(self) -> float:
        message: Any = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
        if message is not None:
            await self._handle(str(message["data"]))
        return 0.0

    async def _handle(self, message: str) -> None:
        kind, _, raw = message.rpartition(":")
        if kind != "campaign:started":
            return
        try:
            campaign = normalise_id(raw)
        except ValueError as error:
            log.warning(
                "a message on the channel names no campaign: ignored",
                extra={"message_text": message[:200], "error": str(error)},
            )
            return
        self._campaigns.add(campaign)
        for tick in await self._ticks.enqueue("dial", [campaign]):
            log.info("campaign started", extra={"campaign": campaign, "tick": tick})
