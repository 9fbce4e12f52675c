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
"""After the newest sample; a campaign that is not dialed gets no more."""
MAX_PENDING: Final = 10**12
"""A larger number is no count of contacts."""
TOLERANCE: Final = 0.9
"""Ticks are a little early or late: nine tenths of the interval are enough."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The campaign at `at`, server's ms."""

    at: int
    calls: int
    """Calls placed since the campaign began. This and the next two are totals of the ledger."""
    answered: int
    abandoned: int
    free: int
    """Agents of the campaign's queue that are free; the next two: talking, in wrap-up."""
    busy: int
    wrapup: int
    ringing: int
    """Calls that are reserved, sent or ringing."""
    connected: int
    ready: int
    """This and the next: contacts in these states, as far as the ledger has loaded the list."""
    deferred: int
    pending: int | None = None
    """Contacts of the whole list still to be called, by the Dialer API's count; None when it has none."""


class CampaignHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the statistics need beside the public hash."""

    contacts: int
    """Those that Redis holds, and those it has held."""
    talks: int
    """Answered calls that have ended."""
    talk_ms: int
    """How long they lasted together."""
    oldest: Sample | None
    server_ms: int

    def calls_per_hour(self, calls: int) -> float:
        """The pace since the oldest sample, now that `calls` were placed since the campaign began."""
        if self.oldest is None or self.server_ms <= self.oldest.at:
            return 0.0
        return max(0, calls - self.oldest.calls) * 3_600_000 / (self.server_ms - self.oldest.at)


class Samples:
    """Writes samples; `read_samples` reads a reply to LRANGE."""

    def __init__(self, scripts: Scripts, keys: Keys, every_ms: int) -> None:
        self._scripts = scripts
        self._keys = keys
        self._shortest_ms = round(every_ms * TOLERANCE)

    async def history(self, campaign: str) -> CampaignHistory:
        """Read in one round trip."""
        keys = self._keys
        async with self._scripts.client.pipeline(transaction=False) as pipe:
            pipe.hlen(keys.records(campaign))
            pipe.hmget(keys.totals(campaign), ["forgotten", "talks", "talk_ms"])
            pipe.lindex(keys.samples(campaign), -1)
            pipe.time()
            held, totals, oldest, (seconds, micros) = await pipe.execute()
        forgotten, talks, talk_ms = (int(each or 0) for each in totals)
        return CampaignHistory(
            contacts=held + forgotten,
            talks=talks,
            talk_ms=talk_ms,
            oldest=msgspec.json.decode(oldest, type=Sample) if oldest else None,
            server_ms=seconds * 1000 + micros // 1000,
        )

    async def take(self, campaign: str, queue: str, pending: Any = None) -> None:
        """Takes a sample, unless one was taken a moment ago."""
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


def read_samples(newest_first: Sequence[str]) -> list[Sample]:
    """The samples, oldest first."""
    return [msgspec.json.decode(raw, type=Sample) for raw in reversed(newest_first)]
