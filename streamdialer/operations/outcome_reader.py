"""Hands the stream of ended attempts to another service, with its own consumer group: each entry at least once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NoReturn

import anyio
from anyio.to_thread import run_sync
from redis.exceptions import RedisError

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.broker.outcome_group import OutcomeEntries, OutcomeGroup
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone, Unreachable
from streamdialer.operations.session import open_client

log = logging.getLogger(__name__)
BATCH: Final = 500
BLOCK_MS: Final = 2000
PAUSE_S: Final = 3.0
ABANDONED_AFTER_MS: Final = 15_000
"""A reader that has not acknowledged an entry by then was killed, or cannot store it: another one stores it."""


async def read_outcomes(
    settings: Settings,
    group: str,
    deliver: Callable[[OutcomeEntries], None],
    stream_of: Callable[[Keys], str] = lambda keys: keys.outcomes,
) -> NoReturn:
    """Calls `deliver` in a thread, again after a pause when it raises OSError; what it took is acknowledged.

    A Redis that goes away is waited for, and one whose data this program may not use yet. Entries that a process has
    taken and not finished come first. Several processes may read for one group; then an entry may come to two of them.
    """
    is_away = False
    while True:
        try:
            async with open_client(settings) as (client, keys):
                outcomes = OutcomeGroup(client, keys, group, stream_of(keys))
                await outcomes.create()
                if is_away:
                    log.warning("Redis is back: outcomes are read again")
                is_away = False
                await _read(outcomes, deliver)
        except (Unreachable, CannotBeDone, RedisError, *TRANSIENT) as error:
            if not is_away:
                log.error("outcomes wait: Redis cannot be read", extra={"error": str(error)})
            is_away = True
        await anyio.sleep(PAUSE_S)


async def _read(group: OutcomeGroup, deliver: Callable[[OutcomeEntries], None]) -> NoReturn:
    has_pending, looked_at = True, anyio.current_time()
    while True:
        entries = await (group.read_pending("0", BATCH) if has_pending else group.read_new(BATCH, BLOCK_MS))
        if entries:
            try:
                await run_sync(deliver, entries)
            except OSError as error:
                log.error("outcomes wait: they cannot be stored", extra={"error": str(error)})
                has_pending = True
                await anyio.sleep(PAUSE_S)
                continue
            await group.acknowledge([entry for entry, _ in entries])
        else:
            has_pending = False
        if anyio.current_time() - looked_at > ABANDONED_AFTER_MS / 1000:
            looked_at = anyio.current_time()
            has_pending = has_pending or await group.has_abandoned(ABANDONED_AFTER_MS)
