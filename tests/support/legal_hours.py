"""When the law of a pack allows a call: a second implementation, which looks the minute up in a table."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from typing import Final

from streamdialer.rules.statutory_hours import public_holidays

Spans = list[tuple[int, int]]
"""Minutes of a day."""


def _days(*spans: tuple[int, int], times: int = 1) -> list[Spans]:
    return [list(spans)] * times


_EIGHT_TO_EIGHT: Final = (480, 1200)
WEEKS: Final[dict[str, list[Spans]]] = {  # by weekday, copied again from the statutes
    "au": _days((540, 1200), times=5) + _days((540, 1020)) + _days(),
    "br-rj": _days((480, 1080), times=5) + _days(times=2),
    "ca": _days((540, 1290), times=5) + _days((600, 1080), times=2),
    "cl": _days(_EIGHT_TO_EIGHT, times=6) + _days(),
    "co": _days((420, 1140), times=5) + _days((480, 900)) + _days(),
    "co-collection": _days((420, 1140), times=5) + _days((480, 900)) + _days(),
    "es": _days((540, 1260), times=5) + _days(times=2),
    "fr": _days((600, 780), (840, 1200), times=5) + _days(times=2),
    "it": _days((540, 1200), times=5) + _days((600, 1140)) + _days(),
    "mx": _days((420, 1320), times=5) + _days(times=2),
    "us": _days((480, 1260), times=7),
    "us-al": _days(_EIGHT_TO_EIGHT, times=6) + _days(),
    "us-ct": _days((540, 1200), times=7),
    "us-fl": _days(_EIGHT_TO_EIGHT, times=7),
    "us-la": _days(_EIGHT_TO_EIGHT, times=6) + _days(),
    "us-md": _days(_EIGHT_TO_EIGHT, times=7),
    "us-ms": _days(_EIGHT_TO_EIGHT, times=6) + _days(),
    "us-nj": _days(_EIGHT_TO_EIGHT, times=7),
    "us-ok": _days(_EIGHT_TO_EIGHT, times=7),
    "us-regf": _days((480, 1260), times=7),
    "us-tx": _days((540, 1260), times=6) + _days((720, 1260)),
    "us-wa": _days(_EIGHT_TO_EIGHT, times=7),
}
_HOLIDAYS: Final = {
    "au": "AU",
    "br-rj": "BR-RJ",
    "cl": "CL",
    "co": "CO",
    "co-collection": "CO",
    "es": "ES",
    "fr": "FR",
    "it": "IT",
    "mx": "MX",
    "us-al": "US-AL",
    "us-la": "US-LA",
}
_EVES: Final = {"it": [(600, 1140)]}


def is_legal(pack: str, moment: datetime) -> bool:
    """`moment` is on the clock of the person called."""
    if is_holiday(pack, moment.date()):
        return False
    spans = WEEKS[pack][moment.weekday()]
    if spans and pack in _EVES and is_holiday(pack, moment.date() + timedelta(1)):
        spans = _EVES[pack]
    minute = moment.hour * 60 + moment.minute
    return any(begin <= minute < end for begin, end in spans)


def is_holiday(pack: str, day: date) -> bool:
    """Whether the pack closes on that day's holiday."""
    country = _HOLIDAYS.get(pack)
    if country is None:
        return False
    return day in (colombian_holidays(day.year) if country == "CO" else public_holidays(country, day.year))


@cache
def easter(year: int) -> date:
    """Meeus, Jones and Butcher."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    i = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * i) // 451
    month, day = divmod(h + i - 7 * m + 114, 31)
    return date(year, month, day + 1)


@cache
def colombian_holidays(year: int) -> frozenset[date]:
    """Ley 51 de 1983, Ley 2578 de 2026: days that are kept where they fall, and days that move to the Monday after."""
    kept = [(1, 1), (5, 1), (7, 20), (8, 7), (12, 8), (12, 25)]
    moved = [(1, 6), (3, 19), (6, 29), (8, 15), (10, 12), (11, 1), (11, 11)]
    if year >= 2026:
        moved.append((7, 9))
    sunday = easter(year)
    days = {date(year, *day) for day in kept} | {sunday - timedelta(3), sunday - timedelta(2)}
    to_monday = [date(year, *day) for day in moved] + [sunday + timedelta(n) for n in (39, 60, 68)]
    return frozenset(days | {day + timedelta(-day.weekday() % 7) for day in to_monday})
