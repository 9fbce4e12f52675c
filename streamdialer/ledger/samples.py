"""The last half hour of a campaign: a sample a minute, taken by its `stats` ticks, removed with the campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

TAKE_SAMPLE: Final = Script("streamdialer.ledger", "take_sample")
MAX_SAMPLES: Final = 31
"""Thirty intervals: half an hour at a sample a minute."""
SAMPLES_TTL_MS: Final = 86_400_000
"""After the last sample; a campaign that is not dialed has no new ones."""
MAX_PENDING: Final = 10**12
"""A larger number is no count of contacts."""
TOLERANCE: Final = 0.9
"""Ticks are a little early or late: what comes after nine tenths of the interval counts as in time."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A sample as it is kept: how the campaign stood at `at`, server's time, ms."""

    at: int
    calls: int
    """Calls placed since the campaign began; like the next two, the ledger's total."""
    answered: int
    abandoned: int
    free: int
    """Agents of the campaign's queue that are free, talking, in wrap-up."""
    busy: int
    wrapup: int
    ringing: int
    """Calls that are reserved, sent or ring."""
    connected: int
    ready: int
    """Contacts that may be called now, and that wait for a later instant, as far as the ledger has read the list."""
    deferred: int
    pending: int | None = None
    """Contacts of the whole list that are still to be called, as the Dialer API counts them; None when it does not."""


class Samples:
    """Writes them; `read_samples` reads what LRANGE answers."""

    def __init__(self, scripts: Scripts, keys: Keys, every_ms: int) -> None:
        self._scripts = scripts
        self._keys = keys
        self._shortest_ms = round(every_ms * TOLERANCE)

    async def take(self, campaign: str, queue: str, pending: Any = None) -> None:
        """Notes how the campaign stands, unless that was done a moment ago."""
        keys = self._keys
        is_count = isinstance(pending, int) and not isinstance(pending, bool) and 0 <= pending < MAX_PENDING
        await self._scripts.run(
            TAKE_SAMPLE,
            [
                keys.directory,
                keys.samples(campaign),
                keys.totals(campaign),
                keys.ready(campaign),
                keys.deferred(campaign),
                keys.reserved(campaign),
                keys.dialing(campaign),
                keys.connected(campaign),
                keys.queue_free(queue),
                keys.queue_agent_activity(queue),
            ],
            [campaign, self._shortest_ms, MAX_SAMPLES, SAMPLES_TTL_MS, pending if is_count else ""],
        )


def read_samples(kept: Sequence[str]) -> list[Sample]:
    """The samples, oldest first."""
    return [msgspec.json.decode(one, type=Sample) for one in reversed(kept)]
