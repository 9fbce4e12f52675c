"""No minute of a pack's hours is wrong where a clock changes: compared with a second implementation.

`make test` compares some zones in two years, and each week of the packs once. For every pack with hours, every clock
of the zone database and seven years, in about ten minutes:

    CLOCK_WALK=all python -m pytest --log-level=info -rP tests/unit/test_clock_changes.py

`--log-level=info -rP` shows how many changes and minutes were compared.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import Hours, intersection
from streamdialer.rules.rule_pack import load_pack, pack_names
from streamdialer.rules.statutory_hours import public_holidays, statutory_hours
from streamdialer.rules.window import Opening, campaign_window
from streamdialer.rules.zones import zone_set
from tests.support.legal_hours import WEEKS, colombian_holidays, is_legal
from tests.support.long_tests import some_are_long

log = logging.getLogger(__name__)
IS_LONG: Final = os.environ.get("CLOCK_WALK") == "all"
"""Every pack, clock and year."""
ALL_YEARS: Final = range(2024, 2031)
YEARS: Final = ALL_YEARS if IS_LONG else range(2026, 2028)
SAME_WEEK: Final = frozenset({"co-collection", "us-la", "us-md", "us-nj", "us-ok", "us-regf", "us-wa"})
"""Packs whose hours are those of another one."""
PACKS: Final = sorted(WEEKS if IS_LONG else WEEKS.keys() - SAME_WEEK)
ZONES = [
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Halifax",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Paris",
    "Europe/Athens",
    "Atlantic/Azores",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Jerusalem",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
]


def changes(zone: ZoneInfo) -> list[datetime]:
    """UTC midnights before which a day begins whose offset is another at its end."""
    found, day = [], datetime(YEARS[0], 1, 1, tzinfo=UTC)
    while day.year <= YEARS[-1]:
        after = day + timedelta(1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            found.append(day)
        day = after
    return found


def all_clocks() -> Iterator[str]:
    """Every zone whose clock changes; of several that change alike, the first."""
    seen = set[tuple[tuple[datetime, timedelta | None], ...]]()
    for name in sorted(available_timezones()):
        try:
            zone = ZoneInfo(zone_set(name, []))
        except CampaignError:  # it follows no place
            continue
        clock = tuple((day, day.astimezone(zone).utcoffset()) for day in changes(zone))
        if clock and clock not in seen:
            seen.add(clock)
            yield name


def minutes(begin: datetime, days: int) -> list[datetime]:
    return [begin + timedelta(minutes=number) for number in range(days * 1440)]


def agrees(hours: Hours, expected: list[bool], begin: datetime) -> None:
    """Follows the openings one after the other and compares every minute with what is expected."""
    start_ms = round(begin.timestamp() * 1000)
    at, said = start_ms, list[bool]()
    while len(said) < len(expected):
        opening: Opening = hours.opening_at(at)
        assert opening.until_ms is not None
        assert opening.until_ms % 60_000 == 0
        assert opening.until_ms > at
        said += [opening.is_open] * ((opening.until_ms - at) // 60_000)
        at = opening.until_ms
    wrong = [number for number, (one, other) in enumerate(zip(said, expected, strict=False)) if one != other]
    assert not wrong, [(begin + timedelta(minutes=number), expected[number]) for number in wrong[:3]]


@pytest.mark.parametrize("name", list(all_clocks()) if IS_LONG else some_are_long(ZONES, *ZONES[3:]))
def test_no_minute_is_wrong_around_any_change_of_the_clock(name: str) -> None:
    zone, compared = ZoneInfo(name), 0
    found = changes(zone)
    for day in found:
        begin = day - timedelta(1)
        local = [moment.astimezone(zone) for moment in minutes(begin, 3)]
        for pack in PACKS:
            hours = load_pack(pack).hours
            assert hours is not None
            expected = [is_legal(pack, moment) for moment in local]
            agrees(statutory_hours(hours, zone), expected, begin)
            compared += len(expected)
    assert compared
    log.info("%s: %s changes, %s comparisons", name, len(found), compared)


def test_every_pack_with_hours_is_compared() -> None:
    assert sorted(WEEKS) == [name for name in pack_names() if load_pack(name).hours]
    each = {str(WEEKS[name]) for name in WEEKS}
    assert {str(WEEKS[name]) for name in PACKS} == each, "each week once"


def test_colombian_holidays_are_those_of_the_statutes() -> None:
    for year in ALL_YEARS:
        assert public_holidays("CO", year) == colombian_holidays(year)


@pytest.mark.long
def test_no_minute_is_wrong_around_any_colombian_holiday() -> None:
    zone, hours = ZoneInfo("America/Bogota"), load_pack("co").hours
    assert hours is not None
    for year in YEARS:
        for day in sorted(colombian_holidays(year)):
            begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - timedelta(1)
            local = [moment.astimezone(zone) for moment in minutes(begin, 3)]
            agrees(statutory_hours(hours, zone), [is_legal("co", moment) for moment in local], begin)


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(
    pack=st.sampled_from(PACKS),
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True),
    day=st.dates(date(YEARS[0], 1, 2), date(YEARS[-1], 12, 28)),
    campaign=st.sampled_from([("09:00", "17:30"), ("20:00", "02:00"), ("00:00", "24:00")]),
    days=st.sampled_from([(0, 1, 2, 3, 4, 5, 6), (4, 5), (2,)]),
)
def test_a_contact_is_called_where_law_and_campaign_allow_it_in_every_zone(
    pack: str, zones: list[str], day: date, campaign: tuple[str, str], days: tuple[int, ...]
) -> None:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    own = campaign_window(
        CampaignSettings(queue_name="q", start_time=campaign[0], end_time=campaign[1], days_of_week=days),
        "America/Bogota",
    )
    hours = load_pack(pack).hours
    assert hours is not None
    every: list[Hours] = [own, *(statutory_hours(hours, ZoneInfo(name)) for name in zones)]
    bogota = ZoneInfo("America/Bogota")

    def in_campaign(moment: datetime) -> bool:
        start, end = ([int(part) for part in text.split(":")] for text in campaign)
        minute, opens, closes = (
            moment.hour * 60 + moment.minute,
            start[0] * 60 + start[1],
            end[0] * 60 + end[1],
        )
        yesterday = (moment.weekday() - 1) % 7 in days
        if opens < closes:
            return moment.weekday() in days and opens <= minute < closes
        return (moment.weekday() in days and minute >= opens) or (yesterday and minute < closes)

    at, end = round(begin.timestamp() * 1000), round((begin + timedelta(3)).timestamp() * 1000)
    while at < end:
        opening = intersection(every, at)
        until = end if opening.until_ms is None else min(end, opening.until_ms)
        for moment in range(at, until, 60_000):
            here = datetime.fromtimestamp(moment / 1000, UTC)
            expected = in_campaign(here.astimezone(bogota)) and all(
                is_legal(pack, here.astimezone(ZoneInfo(name))) for name in zones
            )
            assert opening.is_open == expected, here
        at = until
