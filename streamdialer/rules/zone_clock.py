"""Wall clocks of zones in milliseconds of Unix time, also on daylight-saving days."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from streamdialer.errors import CampaignError

DAY_MS: Final = 86_400_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THURSDAY: Final = 3
"""Day of the week of the epoch; Monday is 0."""

UTC_NAMES: Final = frozenset(
    {"UTC", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal"}
)
"""For a campaign's own clock. No person lives there."""
_NOT_A_PLACE: Final = re.compile(
    r"localtime|posixrules|Factory|[ECMP]ST(\d[ECMP]DT)?|HST|CET|MET|EET|WET|GMT[+-]?0?|Greenwich|Etc/.*"
)
"""Zones of the database that follow an offset or a rule, and no place; this machine's zone."""


@cache
def _zones() -> dict[str, str]:
    """Each name by its lower case."""
    return {name.lower(): name for name in available_timezones()}


def read_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name in any case; raises CampaignError for what follows no place, such as EST or an offset.

    UTC is a zone here.
    """
    key = name.strip()
    key = _zones().get(key.lower(), key)
    with suppress(KeyError, ValueError, OSError):  # unknown; not a zone name; a folder of zones
        if key in UTC_NAMES or not _NOT_A_PLACE.fullmatch(key):
            return ZoneInfo(key)
    raise CampaignError(
        f"timezone {name!r} names no place: takes an IANA name such as America/Bogota, not an offset"
    )


def local(zone: ZoneInfo, instant_ms: int) -> tuple[int, int]:
    """Days since 1970 and milliseconds since midnight on the zone's wall clock."""
    return divmod(instant_ms + offset_ms(zone, instant_ms), DAY_MS)


def day_of(zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    """When the day on the zone's clock began, and when it ends."""
    day, time_ms = local(zone, now_ms)
    began = now_ms - time_ms
    began += offset_ms(zone, now_ms) - offset_ms(zone, began)
    ends = now_ms
    while local(zone, ends)[0] == day:
        ends = next_boundary(zone, ends, (DAY_MS,))
    return began, ends


def weekday(day: int) -> int:
    """0=Monday … 6=Sunday, of a day counted from 1970."""
    return (day + _THURSDAY) % 7


def offset_ms(zone: ZoneInfo, instant_ms: int) -> int:
    """How far the zone's wall clock is ahead of UTC at an instant."""
    instant = EPOCH + timedelta(milliseconds=instant_ms)
    return (instant.astimezone(zone).replace(tzinfo=UTC) - instant) // timedelta(milliseconds=1)


def next_boundary(zone: ZoneInfo, now_ms: int, times_ms: Iterable[int]) -> int:
    """The next instant at which the wall clock reaches one of the times of day, or jumps."""
    offset = offset_ms(zone, now_ms)
    time_ms = (now_ms + offset) % DAY_MS
    instant = now_ms + min((boundary - time_ms - 1) % DAY_MS + 1 for boundary in times_ms)
    return instant if offset_ms(zone, instant) == offset else jump(zone, now_ms, instant)


def jump(zone: ZoneInfo, before_ms: int, after_ms: int) -> int:
    """The instant between two others at which the zone's offset changes, by bisection."""
    offset = offset_ms(zone, before_ms)
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        if offset_ms(zone, middle) == offset:
            before_ms = middle
        else:
            after_ms = middle
    return after_ms
