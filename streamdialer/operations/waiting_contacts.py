"""Why a campaign's deferred contacts wait: those due next, counted by reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.consumers.dialing.reasons import SKIPPED
from streamdialer.ledger.records import decode_contact

SAMPLE_SIZE: Final = 200
TEXTS: Final = {
    "retry": "for their next attempt",
    "callback": "for the callback they asked for",
    **{code: reason.text for code, reason in SKIPPED.items()},
}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts that wait for one reason, among those that are due next."""

    reason: str
    """retry, callback, or a code of `reasons.SKIPPED`."""
    contacts: int
    first_in_s: float
    """Until the first of them is due; 0 when it is overdue."""
    detail: str | None
    """The rule that holds the first of them, where there is one."""


async def waiting_for(client: Redis, keys: Keys, campaign: str, now_ms: int) -> list[Waiting]:
    """The `SAMPLE_SIZE` contacts due next, by reason, the earliest first; `now_ms` is the server's time."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.deferred(campaign), 0, SAMPLE_SIZE - 1, withscores=True)
    pipe.hget(keys.server, "clock_offset")
    due, clock_offset = await pipe.execute()
    contacts = [contact for contact, _ in due]
    records: Any = await client.hmget(keys.records(campaign), contacts) if contacts else []
    ledger_ms = now_ms + int(clock_offset or 0)
    by_reason: dict[str, Waiting] = {}
    for (_, due_ms), raw in zip(due, records, strict=True):
        wait = decode_contact(raw).wait if raw else None
        if wait is None or wait.reason not in TEXTS:
            continue  # it moved between the two readings, or another version of the dialer deferred it
        waiting = by_reason.get(wait.reason) or Waiting(
            reason=wait.reason,
            contacts=0,
            first_in_s=round(max(0.0, due_ms - ledger_ms) / 1000, 1),
            detail=wait.detail,
        )
        by_reason[wait.reason] = msgspec.structs.replace(waiting, contacts=waiting.contacts + 1)
    return list(by_reason.values())


def describe(waiting: Iterable[Waiting]) -> str:
    """A sentence or two; '' when no contact waits."""
    parts, hint = [], ""
    for group in waiting:
        if (group.reason, group.detail) == ("retry", "congestion"):
            hint = " Congestion: the trunk took no call; `streamdialer doctor` looks at Asterisk's trunks."
        rule = f"; {group.detail}" if group.detail else ""
        parts.append(f"{group.contacts} {TEXTS[group.reason]} (the first in {_span(group.first_in_s)}{rule})")
    return f"Deferred contacts due next: {', '.join(parts)}.{hint}" if parts else ""


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
