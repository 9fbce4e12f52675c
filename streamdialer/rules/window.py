"""The campaign's own hours: whether a call may be placed at an instant, and until when this holds.

Daily hours and days of the week follow the wall clock of the campaign's zone, also on daylight-saving days: hours that
the clock skips are not used, hours that it repeats are used twice.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.zone_clock import DAY_MS, EPOCH, jump, local, next_boundary, read_zone, weekday

_HORIZON_MS: Final = 30 * DAY_MS
"""Longer than the rarest pattern: one day a week, which a zone skips when it crosses the date line."""
_ALL_DAYS: Final = frozenset(range(7))
_TIME_OF_DAY: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*")


class Opening(msgspec.Struct, frozen=True):
    """Whether calling is allowed at an instant, and when this changes."""

    is_open: bool
    until_ms: int | None
    """Open: when it closes; no call may be placed from then on. Closed: when it opens. None: it never changes."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's hours: days of the week and daily hours on its own clock, between two instants."""

    zone: ZoneInfo
    days: frozenset[int] = _ALL_DAYS
    """0=Monday … 6=Sunday; overnight hours belong to the day on which they begin."""
    opens_ms: int = 0
    """Milliseconds after midnight on the wall clock."""
    closes_ms: int = DAY_MS
    """The same, exclusive; hours with `closes_ms` below `opens_ms` run overnight."""
    not_before_ms: int | None = None
    not_after_ms: int | None = None
    """Exclusive."""

    def opening_at(self, now_ms: int) -> Opening:
        """Whether a call may be placed at `now_ms` (Unix time), and when this changes."""
        if self.not_after_ms is not None and now_ms >= self.not_after_ms:
            return Opening(False, None)
        if self.not_before_ms is not None and now_ms < self.not_before_ms:
            opens = self.not_before_ms
            first = opens if self._is_within_hours(opens) else self._next_change(opens)
            return Opening(False, self._if_before_the_end(first))
        change = self._next_change(now_ms)
        if self._is_within_hours(now_ms):
            ends = [instant for instant in (change, self.not_after_ms) if instant is not None]
            return Opening(True, min(ends, default=None))
        return Opening(False, self._if_before_the_end(change))

    def _if_before_the_end(self, opens_ms: int | None) -> int | None:
        if opens_ms is None or self.not_after_ms is None:
            return opens_ms
        return opens_ms if opens_ms < self.not_after_ms else None

    def _is_within_hours(self, now_ms: int) -> bool:
        """By days and daily hours only, on the wall clock."""
        day, time_ms = local(self.zone, now_ms)
        today = weekday(day)
        if self.opens_ms < self.closes_ms:
            return today in self.days and self.opens_ms <= time_ms < self.closes_ms
        begun_today = today in self.days and time_ms >= self.opens_ms
        return begun_today or ((today - 1) % 7 in self.days and time_ms < self.closes_ms)

    def _next_change(self, now_ms: int) -> int | None:
        """The next instant at which `_is_within_hours` changes; None when it never does."""
        if self.days == _ALL_DAYS and (self.opens_ms, self.closes_ms) == (0, DAY_MS):
            return None
        now = self._is_within_hours(now_ms)
        instant = now_ms
        while instant < now_ms + _HORIZON_MS:
            instant = next_boundary(self.zone, instant, (self.opens_ms, self.closes_ms, DAY_MS))
            if self._is_within_hours(instant) != now:
                return instant
        return None


def campaign_window(settings: CampaignSettings, default_zone: str) -> Window:
    """The hours of a campaign, in its own zone or else the default zone.

    `start_time` and `end_time` are times of day (daily hours) or date-times (the campaign's first and last instant, on
    the zone's clock unless they have an offset). Raises CampaignError for a zone or time that cannot be read, and for
    hours that never open.
    """
    zone = read_zone(settings.timezone or default_zone)
    opens = _time_of_day("start_time", settings.start_time, rounding_up=True)
    closes = _time_of_day("end_time", settings.end_time, rounding_up=False)
    window = Window(
        zone=zone,
        days=frozenset(settings.days_of_week or _ALL_DAYS),
        opens_ms=0 if opens is None else opens,
        closes_ms=DAY_MS if closes is None else closes,
        not_before_ms=None if opens is not None else _instant("start_time", settings.start_time, zone),
        not_after_ms=None if closes is not None else _instant("end_time", settings.end_time, zone),
    )
    never = window.opens_ms % DAY_MS == window.closes_ms or window.opens_ms == DAY_MS
    if window.not_before_ms is not None and window.not_after_ms is not None:
        never = never or window.not_before_ms >= window.not_after_ms
    if never:
        raise CampaignError(
            f"start_time {settings.start_time!r} and end_time {settings.end_time!r} leave no time to call: "
            "takes an end_time after start_time (daily hours may run overnight)"
        )
    return window


def _time_of_day(field: str, raw: str | None, *, rounding_up: bool) -> int | None:
    """Milliseconds after midnight; None when it is not a time of day. 24:00 is the end of the day."""
    if raw is None or (match := _TIME_OF_DAY.fullmatch(raw.strip())) is None:
        return None
    hours, minutes, seconds, fraction = match.groups(default="0")
    milliseconds, rest = divmod(int(fraction.ljust(6, "0")), 1000)
    time_ms = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + milliseconds
    time_ms += 1 if rest and rounding_up else 0
    if int(minutes) > 59 or int(seconds) > 59 or time_ms > DAY_MS:
        raise _unreadable(field, raw)
    return time_ms


def _instant(field: str, raw: str | None, zone: ZoneInfo) -> int | None:
    """Unix time in ms of a date-time; None for null.

    When the zone's clock repeats the time, a start is the later instant and an end the earlier; when it skips the time,
    both are the instant of the jump. So no call is outside any reading of the time.
    """
    if raw is None:
        return None
    if not _DATE_TIME.fullmatch(raw.strip()):
        raise _unreadable(field, raw)
    try:
        moment = datetime.fromisoformat(raw.strip())
    except ValueError:
        raise _unreadable(field, raw) from None
    is_start = field == "start_time"
    if is_start and moment.year == MAXYEAR:  # the search for the first opening would leave the calendar
        raise _unreadable(field, raw)
    if moment.tzinfo is not None:
        return _unix_ms(moment, rounding_up=is_start)
    first, second = (
        _unix_ms(moment.replace(tzinfo=zone, fold=fold), rounding_up=is_start) for fold in (0, 1)
    )
    if first > second:  # the clock skips it
        return jump(zone, second, first)
    return second if is_start else first


def _unix_ms(moment: datetime, *, rounding_up: bool) -> int:
    elapsed = moment - EPOCH
    return -(-elapsed // timedelta(milliseconds=1)) if rounding_up else elapsed // timedelta(milliseconds=1)


def _unreadable(field: str, raw: str) -> CampaignError:
    return CampaignError(
        f"{field} {raw!r} cannot be read: takes a time of day (09:00) or a date-time (2026-05-04T09:00:00)"
    )
