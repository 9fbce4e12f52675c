"""Why a campaign's contacts wait: the next of them by reason, for whoever asks why nobody is called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import SKIPPED

SAMPLE_SIZE: Final = 200
WORDS: Final = {"retry": "for their next attempt", "callback": "for the callback they asked for"}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts that wait for one reason, among those that are due next."""

    reason: str
    """retry, callback, or a code of `causes.SKIPPED`."""
    contacts: int
    first_in_s: float
    """Until the first of them is due; 0 when it is overdue."""
    detail: str | None
    """The rule that holds the first of them, where there is one."""


class _Reason(msgspec.Struct, frozen=True):
    code: str = msgspec.field(name="y")
    detail: str | None = msgspec.field(name="s", default=None)


class _Record(msgspec.Struct, frozen=True):
    wait: _Reason | None = msgspec.field(name="w", default=None)


async def waiting_for(client: Redis, keys: Keys, campaign: str, now_ms: int) -> list[Waiting]:
    """Of the `LOOKED_AT` contacts due next, by reason, the earliest first; `now_ms` is the server's time."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.deferred(campaign), 0, SAMPLE_SIZE - 1, withscores=True)
    pipe.hget(keys.server, "clock_offset")
    due, ahead = await pipe.execute()
    names = [contact for contact, _ in due]
    records: Any = await client.hmget(keys.records(campaign), names) if names else []
    ledger_ms = now_ms + int(ahead or 0)
    found: dict[str, Waiting] = {}
    for (_, due_ms), raw in zip(due, records, strict=True):
        wait = msgspec.json.decode(raw, type=_Record).wait if raw else None
        if wait is None or wait.code not in {*WORDS, *SKIPPED}:
            continue  # it has moved between the two readings, or another version has put it off
        first = found.get(wait.code) or Waiting(
            reason=wait.code,
            contacts=0,
            first_in_s=round(max(0.0, due_ms - ledger_ms) / 1000, 1),
            detail=wait.detail,
        )
        found[wait.code] = msgspec.structs.replace(first, contacts=first.contacts + 1)
    return list(found.values())


def describe(waiting: Iterable[Waiting]) -> str:
    """A sentence; '' when nobody waits."""
    told = []
    for one in waiting:
        words = WORDS.get(one.reason) or SKIPPED[one.reason].text
        rule = f"; {one.detail}" if one.detail else ""
        told.append(f"{one.contacts} {words} (the first in {_span(one.first_in_s)}{rule})")
    return f"Of the next who wait: {', '.join(told)}." if told else ""


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
