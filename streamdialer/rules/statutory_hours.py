"""Statutory hours on the clock of the called person."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from streamdialer.rules.rule_pack import Span, WeeklyHours
from streamdialer.rules.window import Opening
from streamdialer.rules.zone_clock import DAY_MS, local, next_boundary, weekday

_HORIZON_MS: Final = 60 * DAY_MS
"""Longer than any run of closed days: a pack opens once a week, and no country has eight holidays on one weekday."""
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class StatutoryHours(msgspec.Struct, frozen=True, kw_only=True):
    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    """Monday first."""
    country: str | None
    """Its public holidays are closed."""
    eve: tuple[Span, ...] | None = None
    """The hours of a day before a public holiday, where they differ."""
    boundaries: tuple[int, ...]
    """Times of day when a span begins or ends, and midnight; ms."""

    def opening_at(self, now_ms: int) -> Opening:
        """Whether a call may be placed at `now_ms` (Unix time), and when this changes."""
        is_open, instant = self._is_open(now_ms), now_ms
        while instant < now_ms + _HORIZON_MS:
            instant = next_boundary(self.zone, instant, self.boundaries)
            if self._is_open(instant) != is_open:
                return Opening(is_open, instant)
        return Opening(is_open, None)

    def _is_open(self, now_ms: int) -> bool:
        day, time_ms = local(self.zone, now_ms)
        spans = self.week[weekday(day)]
        if self.country is not None:
            if _is_holiday(self.country, day):
                return False
            if self.eve and spans and _is_holiday(self.country, day + 1):
                spans = self.eve
        return any(opens <= time_ms < closes for opens, closes in spans)


def statutory_hours(hours: WeeklyHours, zone: ZoneInfo) -> StatutoryHours:
    """A pack's hours on the clock of `zone`."""
    week, eve = hours.week(), hours.eve()
    edges = {edge for day in (*week, eve or ()) for span in day for edge in span}
    return StatutoryHours(
        zone=zone, week=week, country=hours.holidays, eve=eve, boundaries=tuple(sorted(edges | {DAY_MS}))
    )


def _is_holiday(country: str, day: int) -> bool:
    today = date.fromordinal(_EPOCH_DAY + day)
    return today in public_holidays(country, today.year)


@lru_cache
def public_holidays(country: str, year: int) -> frozenset[date]:
    """The public holidays of a year in a country or a part of it, on the days they are observed."""
    from holidays import country_holidays  # slow to import, and most packs have none

    name, _, part = country.partition("-")
    return frozenset(country_holidays(name, subdiv=part or None, years=year))
