"""Reads the stream of ended attempts for another service, with its own consumer group: each entry at least once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, NoReturn

import anyio
from anyio.to_thread import run_sync
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.errors import Unreachable
from streamdialer.operations.session import open_client

log = logging.getLogger(__name__)
BATCH: Final = 500
BLOCK_MS: Final = 2000
PAUSE_S: Final = 3.0
CONSUMER: Final = "one"
Entries = list[tuple[str, dict[str, str]]]


async def read_outcomes(settings: Settings, group: str, deliver: Callable[[Entries], None]) -> NoReturn:
    """Calls `deliver` in a thread, again after a pause when it raises OSError; what it took is acknowledged.

    A Redis that goes away is waited for. Entries that a process before this one took and did not finish come first.
    """
    is_away = False
    while True:
        try:
            async with open_client(settings) as (client, keys):
                await _join(client, keys, group)
                if is_away:
                    log.warning("Redis is back: outcomes are read on")
                is_away = False
                await _read(client, keys, group, deliver)
        except (Unreachable, RedisError, *TRANSIENT) as error:
            if not is_away:
                log.error("outcomes wait: Redis cannot be read", extra={"error": str(error)})
            is_away = True
        await anyio.sleep(PAUSE_S)


async def _join(client: Redis, keys: Keys, group: str) -> None:
    """The group begins with the oldest entry that is kept."""
    try:
        await client.xgroup_create(keys.outcomes, group, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def _read(client: Redis, keys: Keys, group: str, deliver: Callable[[Entries], None]) -> NoReturn:
    start = "0"  # those taken before, then new ones
    while True:
        reply: Any = await client.xreadgroup(
            group, CONSUMER, {keys.outcomes: start}, count=BATCH, block=BLOCK_MS
        )
        entries: Entries = reply[0][1] if reply else []
        if not entries:
            start = ">"
            continue
        try:
            await run_sync(deliver, entries)
        except OSError as error:
            log.error("outcomes wait: they cannot be stored", extra={"error": str(error)})
            start = "0"
            await anyio.sleep(PAUSE_S)
            continue
        await client.xack(keys.outcomes, group, *(entry for entry, _ in entries))
