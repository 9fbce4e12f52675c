"""Legal calling hours, compared minute by minute with a second implementation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import Hours, calling_hours, intersection
from streamdialer.rules.rule_pack import load_pack
from streamdialer.rules.statutory_hours import public_holidays, statutory_hours
from streamdialer.rules.window import Opening, campaign_window
from streamdialer.rules.zones import OWN_ZONE, zone_set
from tests.support.long_tests import some_are_long

ZONES = [
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Halifax",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
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
YEARS = range(2024, 2031)
WEEK = {  # minutes of the day by weekday, copied again from the statutes
    "co": [[(420, 1140)]] * 5 + [[(480, 900)], []],
    "us": [[(480, 1260)]] * 7,
    "us-fl": [[(480, 1200)]] * 7,
    "fr": [[(600, 780), (840, 1200)]] * 5 + [[], []],
    "es": [[(540, 1260)]] * 5 + [[], []],
    "ca": [[(540, 1290)]] * 5 + [[(600, 1080)]] * 2,
    "us-tx": [[(540, 1260)]] * 6 + [[(720, 1260)]],
    "us-ms": [[(480, 1200)]] * 6 + [[]],
    "au": [[(540, 1200)]] * 5 + [[(540, 1020)], []],
    "cl": [[(480, 1200)]] * 6 + [[]],
    "br-rj": [[(480, 1080)]] * 5 + [[], []],
    "mx": [[(420, 1320)]] * 5 + [[], []],
    "us-ct": [[(540, 1200)]] * 7,
    "us-al": [[(480, 1200)]] * 6 + [[]],
}
CLOSES_ON_HOLIDAYS = {
    "co": "CO",
    "fr": "FR",
    "es": "ES",
    "au": "AU",
    "cl": "CL",
    "mx": "MX",
    "us-al": "US-AL",
}


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


def is_legal(pack: str, moment: datetime) -> bool:
    """The second implementation: looks the local time up in the table."""
    country = CLOSES_ON_HOLIDAYS.get(pack)
    if country == "CO" and moment.date() in colombian_holidays(moment.year):
        return False
    if country not in (None, "CO") and moment.date() in public_holidays(str(country), moment.year):
        return False
    minute = moment.hour * 60 + moment.minute
    return any(begin <= minute < end for begin, end in WEEK[pack][moment.weekday()])


def transitions(zone: ZoneInfo) -> Iterator[datetime]:
    """UTC midnights before which a day begins whose offset is another at its end."""
    day = datetime(YEARS[0], 1, 1, tzinfo=UTC)
    while day.year <= YEARS[-1]:
        after = day + timedelta(1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            yield day
        day = after


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


@pytest.mark.parametrize("name", some_are_long(ZONES, *ZONES[3:]))
def test_no_minute_is_wrong_around_any_change_of_the_clock(name: str) -> None:
    zone = ZoneInfo(name)
    found = 0
    for day in transitions(zone):
        found += 1
        begin = day - timedelta(1)
        local = [moment.astimezone(zone) for moment in minutes(begin, 3)]
        for pack in WEEK:
            hours = load_pack(pack).hours
            assert hours is not None
            agrees(statutory_hours(hours, zone), [is_legal(pack, moment) for moment in local], begin)
    assert found >= 1


def test_colombian_holidays_are_those_of_the_statutes() -> None:
    for year in YEARS:
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
    pack=st.sampled_from(sorted(WEEK)),
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


def test_openings_are_kept_and_stay_true_when_time_goes_on_or_back() -> None:
    hours = calling_hours(
        CampaignSettings(queue_name="q", rule_pack="us", timezone="America/New_York"), "UTC", 0
    )
    morning = round(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)  # 07:00 there
    first = hours.opening_at("America/New_York", morning)
    assert first == Opening(False, morning + 3_600_000)
    assert hours.opening_at("America/New_York", morning + 3_600_000).is_open
    assert hours.opening_at("America/New_York", morning) == first


# ---- whose zone ----


@pytest.mark.parametrize(
    ("timezone", "number", "zones"),
    [
        ("Europe/Madrid", "+573001234567", "Europe/Madrid"),
        (" Europe/Madrid ", "", "Europe/Madrid"),
        (None, "+573001234567", "America/Bogota"),
        ("", "+12025550123", "America/New_York"),
        (None, "+34922123456", "Atlantic/Canary"),
        (None, "+34600000000", "Atlantic/Canary,Europe/Madrid"),
        (None, "+447700900123", "Europe/Guernsey,Europe/Isle_of_Man,Europe/London"),
        (None, "3001234567", OWN_ZONE),
        (None, "", OWN_ZONE),
        (None, "not a number", OWN_ZONE),
    ],
)
def test_the_zone_is_the_contacts_or_its_numbers(timezone: str | None, number: str, zones: str) -> None:
    assert zone_set(timezone, [number]) == zones


@pytest.mark.parametrize(
    "timezone", ["UTC-5", "localtime", "-05:00", "-5", "Bogota", "America", "../etc/passwd", "\x00"]
)
def test_an_offset_or_an_unknown_name_is_no_zone(timezone: str) -> None:
    with pytest.raises(CampaignError, match="takes an IANA name"):
        zone_set(timezone, ["+573001234567"])


def test_a_number_that_may_be_in_two_zones_is_called_where_both_are_open() -> None:
    """Madrid opens at 09:00, the Canaries an hour later; Madrid closes at 21:00, the Canaries an hour later."""
    hours = calling_hours(
        CampaignSettings(queue_name="q", rule_pack="es", timezone="Europe/Madrid"), "UTC", 0
    )
    night = round(datetime(2026, 3, 3, 3, tzinfo=UTC).timestamp() * 1000)
    opening = hours.opening_at("Atlantic/Canary,Europe/Madrid", night)
    assert datetime.fromtimestamp((opening.until_ms or 0) / 1000, UTC).hour == 9
    assert "es 2026.1" in hours.describe("Atlantic/Canary,Europe/Madrid", night)
    closes = hours.opening_at("Atlantic/Canary,Europe/Madrid", opening.until_ms or 0).until_ms
    assert datetime.fromtimestamp((closes or 0) / 1000, UTC).hour == 20


# ---- hours that cannot be ----


def test_hours_that_are_never_legal_are_an_error_that_names_the_rule() -> None:
    sundays = CampaignSettings(
        queue_name="q", rule_pack="co", timezone="America/Bogota", days_of_week=(6,), start_time="09:00"
    )
    with pytest.raises(CampaignError, match=r"never legal in America/Bogota under rule pack co 2026\.1"):
        calling_hours(sundays, "UTC", 0)


def test_a_campaign_that_is_over_is_closed_and_no_error() -> None:
    over = CampaignSettings(queue_name="q", rule_pack="co", end_time="2020-01-01T00:00:00Z")
    now = round(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000)
    assert calling_hours(over, "America/Bogota", now).window.opening_at(now) == Opening(False, None)


def test_an_unknown_pack_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(CampaignError, match="'us-xx' is unknown: takes one of au, br-rj, ca"):
        calling_hours(CampaignSettings(queue_name="q", rule_pack="us-xx"), "UTC", 0)


def test_without_a_law_only_the_campaigns_own_hours_count() -> None:
    hours = calling_hours(CampaignSettings(queue_name="q"), "UTC", 0)
    assert hours.opening_at(OWN_ZONE, 0) == Opening(True, None)
