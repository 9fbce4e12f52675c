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
        if not any(opens <= time_ms < closes for opens, closes in self.week[weekday(day)]):
            return False
        if self.country is None:
            return True
        today = date.fromordinal(_EPOCH_DAY + day)
        return today not in public_holidays(self.country, today.year)


def statutory_hours(hours: WeeklyHours, zone: ZoneInfo) -> StatutoryHours:
    """A pack's hours on the clock of `zone`."""
    week = hours.week()
    edges = {edge for day in week for span in day for edge in span}
    return StatutoryHours(
        zone=zone, week=week, country=hours.holidays, boundaries=tuple(sorted(edges | {DAY_MS}))
    )


@lru_cache
def public_holidays(country: str, year: int) -> frozenset[date]:
    """The country's public holidays of a year, on the days they are observed."""
    from holidays import country_holidays  # slow to import, and most packs have none

    return frozenset(country_holidays(country, years=year))
