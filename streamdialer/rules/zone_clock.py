"""Wall clocks of zones in milliseconds of Unix time, daylight-saving days included."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamdialer.errors import CampaignError

DAY_MS: Final = 86_400_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THURSDAY: Final = 3
"""Day of the week of the epoch, Monday being 0."""

_NOT_A_PLACE: Final = {"localtime", "posixrules", "Factory"}
"""Files among the zones that say nothing of a place, or of this machine's."""


def read_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises CampaignError for what is none, offsets among them."""
    key = name.strip()
    with suppress(KeyError, ValueError, OSError):  # unknown; no zone name at all; a folder of zones
        if key not in _NOT_A_PLACE:
            return ZoneInfo(key)
    raise CampaignError(f"timezone {name!r} is unknown: takes an IANA name such as America/Bogota, no offset")


def local(zone: ZoneInfo, instant_ms: int) -> tuple[int, int]:
    """Days since 1970 and milliseconds since midnight on the zone's wall clock."""
    return divmod(instant_ms + offset_ms(zone, instant_ms), DAY_MS)


def weekday(day: int) -> int:
    """0=Monday … 6=Sunday, of a number of days since 1970."""
    return (day + _THURSDAY) % 7


def offset_ms(zone: ZoneInfo, instant_ms: int) -> int:
    """How far the zone's wall clock is ahead of UTC at that instant."""
    instant = EPOCH + timedelta(milliseconds=instant_ms)
    return (instant.astimezone(zone).replace(tzinfo=UTC) - instant) // timedelta(milliseconds=1)


def next_boundary(zone: ZoneInfo, now_ms: int, times_ms: Iterable[int]) -> int:
    """The next instant at which the wall clock reaches one of the times of day, or jumps."""
    offset = offset_ms(zone, now_ms)
    time_ms = (now_ms + offset) % DAY_MS
    instant = now_ms + min((boundary - time_ms - 1) % DAY_MS + 1 for boundary in times_ms)
    return instant if offset_ms(zone, instant) == offset else jump(zone, now_ms, instant)


def jump(zone: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """The instant between two at which the zone's offset changes, by bisection."""
    offset = offset_ms(zone, before_ms)
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        if offset_ms(zone, middle) == offset:
            before_ms = middle
        else:
            after_ms = middle
    return after_ms
