"""The campaign's own hours, on ordinary days, overnight, and on the days the clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.window import Opening, Window, campaign_window

NEW_YORK = "America/New_York"
ZONES = ["UTC", "America/Bogota", NEW_YORK, "Europe/Madrid", "Australia/Lord_Howe", "Asia/Kathmandu"]


def window(
    start: str | None = None,
    end: str | None = None,
    days: tuple[int, ...] | None = None,
    zone: str | None = "UTC",
) -> Window:
    settings = CampaignSettings(
        queue_name="q", start_time=start, end_time=end, days_of_week=days, timezone=zone
    )
    return campaign_window(settings, "UTC")


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone), fold=fold)
    return round(moment.timestamp() * 1000)


def read(opening: Opening, zone: str = "UTC") -> str:
    """An opening as "open|closed until local time with offset", minutes only."""
    state = "open" if opening.is_open else "closed"
    if opening.until_ms is None:
        return f"{state} permanently"
    moment = datetime.fromtimestamp(opening.until_ms / 1000, ZoneInfo(zone))
    return f"{state} until {moment.isoformat(timespec='minutes')}"


# ---- ordinary days (2026-03-02 is a Monday) ----


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        ((None, None, None), "2026-03-02T10:00", "open permanently"),
        (("00:00", "24:00", None), "2026-03-02T10:00", "open permanently"),
        (("09:00", "17:00", None), "2026-03-02T08:59:59.999", "closed until 2026-03-02T09:00+00:00"),
        (("09:00", "17:00", None), "2026-03-02T09:00", "open until 2026-03-02T17:00+00:00"),
        (("09:00:00", "17:00:00", None), "2026-03-02T16:59:59.999", "open until 2026-03-02T17:00+00:00"),
        (("09:00", "17:00", None), "2026-03-02T17:00", "closed until 2026-03-03T09:00+00:00"),
        (("09:00", None, None), "2026-03-02T23:59", "open until 2026-03-03T00:00+00:00"),
        ((None, "17:00", None), "2026-03-02T18:00", "closed until 2026-03-03T00:00+00:00"),
        (("09:00", "00:00", None), "2026-03-02T12:00", "open until 2026-03-03T00:00+00:00"),
        ((None, None, (0, 1)), "2026-03-02T12:00", "open until 2026-03-04T00:00+00:00"),
        ((None, None, ()), "2026-03-02T12:00", "open permanently"),
        (("09:00", "17:00", (0,)), "2026-03-02T18:00", "closed until 2026-03-09T09:00+00:00"),
        (("22:00", "06:00", None), "2026-03-02T23:00", "open until 2026-03-03T06:00+00:00"),
        (("22:00", "06:00", (4,)), "2026-03-07T05:00", "open until 2026-03-07T06:00+00:00"),
        (("22:00", "06:00", (4,)), "2026-03-06T05:00", "closed until 2026-03-06T22:00+00:00"),
    ],
)
def test_daily_hours_and_days(
    hours: tuple[str | None, str | None, tuple[int, ...] | None], now: str, expected: str
) -> None:
    assert read(window(*hours).opening_at(at(now))) == expected


@pytest.mark.parametrize(
    ("start", "end", "now", "expected"),
    [
        ("2026-03-02T09:00", "2026-03-04T17:00", "2026-03-01T12:00", "closed until 2026-03-02T09:00+00:00"),
        ("2026-03-02T09:00", "2026-03-04T17:00", "2026-03-03T03:00", "open until 2026-03-04T17:00+00:00"),
        ("2026-03-02T09:00Z", "2026-03-04T17:00:00+00:00", "2026-03-04T17:00", "closed permanently"),
        ("2026-03-02T09:00-05:00", None, "2026-03-02T13:00", "closed until 2026-03-02T14:00+00:00"),
        ("2026-03-02 09:00", None, "2026-03-02T13:00", "open permanently"),
        ("0001-01-01T00:00", "9999-12-31T23:59:59", "2026-03-02T13:00", "open until 9999-12-31T23:59+00:00"),
        ("2026-03-02T09:00", "17:00", "2026-03-01T12:00", "closed until 2026-03-02T09:00+00:00"),
        ("2026-03-02T19:00", "17:00", "2026-03-01T12:00", "closed until 2026-03-03T00:00+00:00"),
        ("09:00", "2026-03-04T12:00", "2026-03-04T10:00", "open until 2026-03-04T12:00+00:00"),
        ("09:00", "2026-03-04T08:00", "2026-03-03T10:00", "open until 2026-03-04T00:00+00:00"),
        ("09:00", "2026-03-04T09:00", "2026-03-04T03:00", "closed permanently"),
    ],
)
def test_date_times_bound_the_campaign(start: str, end: str | None, now: str, expected: str) -> None:
    assert read(window(start, end).opening_at(at(now))) == expected


def test_a_window_whose_days_never_come_is_closed_for_good() -> None:
    weekend_only = window("2026-03-02T09:00", "2026-03-06T17:00", days=(5, 6))
    assert weekend_only.opening_at(at("2026-03-01T12:00")) == Opening(False, None)


def test_the_campaign_zone_beats_the_default_and_the_default_fills_in() -> None:
    settings = CampaignSettings(queue_name="q", start_time="09:00", end_time="17:00")
    here = campaign_window(settings, "America/Bogota")
    assert read(here.opening_at(at("2026-03-02T12:00Z"))) == "closed until 2026-03-02T14:00+00:00"
    named = window("09:00", "17:00", zone="Asia/Kathmandu")
    assert read(named.opening_at(at("2026-03-02T04:00Z"))) == "open until 2026-03-02T11:15+00:00"


# ---- the days the clock changes ----


@pytest.mark.parametrize(
    ("zone", "hours", "now", "expected"),
    [
        # spring: 02:00 becomes 03:00 in New York on 2026-03-08
        (NEW_YORK, ("02:30", "05:00"), "2026-03-08T01:00-05:00", "closed until 2026-03-08T03:00-04:00"),
        (NEW_YORK, ("01:00", "02:30"), "2026-03-08T01:30-05:00", "open until 2026-03-08T03:00-04:00"),
        (NEW_YORK, ("02:10", "02:50"), "2026-03-08T01:30-05:00", "closed until 2026-03-09T02:10-04:00"),
        (NEW_YORK, ("22:00", "06:00"), "2026-03-08T01:30-05:00", "open until 2026-03-08T06:00-04:00"),
        # autumn: 02:00 becomes 01:00 in New York on 2026-11-01
        (NEW_YORK, ("01:30", "03:00"), "2026-11-01T01:45-04:00", "open until 2026-11-01T01:00-05:00"),
        (NEW_YORK, ("01:30", "03:00"), "2026-11-01T01:10-05:00", "closed until 2026-11-01T01:30-05:00"),
        (NEW_YORK, ("09:00", "17:00"), "2026-11-01T00:00-04:00", "closed until 2026-11-01T09:00-05:00"),
        # half an hour in Lord Howe: 02:00 becomes 02:30 on 2026-10-04
        (
            "Australia/Lord_Howe",
            ("02:15", "03:00"),
            "2026-10-04T01:50+10:30",
            "closed until 2026-10-04T02:30+11:00",
        ),
        # midnight does not exist in Santiago on 2026-09-06: 00:00 becomes 01:00
        (
            "America/Santiago",
            (None, "12:00"),
            "2026-09-05T23:30-04:00",
            "closed until 2026-09-06T01:00-03:00",
        ),
        # naive date-times: a start that comes twice is the later, an end the earlier; else the jump itself
        (
            NEW_YORK,
            ("2026-11-01T01:30", None),
            "2026-11-01T00:00-04:00",
            "closed until 2026-11-01T01:30-05:00",
        ),
        (NEW_YORK, (None, "2026-11-01T01:30"), "2026-11-01T00:00-04:00", "open until 2026-11-01T01:30-04:00"),
        (
            NEW_YORK,
            ("2026-03-08T02:30", None),
            "2026-03-08T00:00-05:00",
            "closed until 2026-03-08T03:00-04:00",
        ),
        (NEW_YORK, (None, "2026-03-08T02:30"), "2026-03-08T00:00-05:00", "open until 2026-03-08T03:00-04:00"),
    ],
)
def test_clock_changes(zone: str, hours: tuple[str | None, str | None], now: str, expected: str) -> None:
    assert read(window(*hours, zone=zone).opening_at(at(now)), zone) == expected


def test_a_weekday_that_a_zone_skipped_waits_for_the_next_one() -> None:
    """Samoa crossed the date line: there was no Friday 2011-12-30."""
    fridays = window("09:00", "17:00", days=(4,), zone="Pacific/Apia")
    now = at("2011-12-23T18:00", "Pacific/Apia")
    assert read(fridays.opening_at(now), "Pacific/Apia") == "closed until 2012-01-06T09:00+14:00"


# ---- refusals ----


@pytest.mark.parametrize(
    "zone", ["UTC-5", "-05:00", "Nowhere/Land", "America", "../etc/passwd", " ", "Bogotá"]
)
def test_what_is_no_iana_zone_is_refused(zone: str) -> None:
    with pytest.raises(CampaignError, match="IANA"):
        window("09:00", "17:00", zone=zone)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9am",
        "25:00",
        "09:61",
        "24:01",
        "2026-03-02",
        "2026-13-02T09:00",
        "09:00-05:00",
        "9999-01-01T00:00",
    ],
)
def test_malformed_times_are_refused(text: str) -> None:
    with pytest.raises(CampaignError, match=r"start_time .* cannot be read"):
        window(text, None)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("09:00", "09:00"),
        ("00:00", "00:00"),
        (None, "00:00"),
        ("24:00", None),
        ("2026-03-04T09:00", "2026-03-02T09:00"),
        ("2026-03-04T09:00", "2026-03-04T09:00"),
    ],
)
def test_hours_that_never_open_are_refused(start: str | None, end: str | None) -> None:
    with pytest.raises(CampaignError, match="no time to call"):
        window(start, end)


# ---- properties ----

minutes = st.integers(0, 1439)
day_sets = st.none() | st.sets(st.integers(0, 6)).map(tuple)
CHANGES = [
    "2026-03-08T07:00Z",
    "2026-11-01T06:00Z",
    "2026-03-29T01:00Z",
    "2026-10-25T01:00Z",
    "2026-10-03T15:30Z",
]
instants = st.builds(
    lambda change, minutes: at(change) + minutes * 60_000,
    st.sampled_from(CHANGES),
    st.integers(-3 * 1440, 3 * 1440),
)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def allowed(now_ms: int, zone: str, start: int, end: int, days: tuple[int, ...] | None) -> bool:
    """The same rule, written for the wall clock."""
    wall = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    if start < end:
        return start <= minute < end and (not days or wall.weekday() in days)
    if minute >= start:
        return not days or wall.weekday() in days
    return minute < end and (not days or (wall.date() - timedelta(days=1)).weekday() in days)


@given(instants, st.sampled_from(ZONES), minutes, minutes, day_sets)
def test_nothing_is_allowed_outside_the_hours_and_every_change_is_one(
    now: int, zone: str, start: int, end: int, days: tuple[int, ...] | None
) -> None:
    if start == end:
        return
    hours = window(clock(start), clock(end), days, zone)
    opening = hours.opening_at(now)
    assert opening.is_open == allowed(now, zone, start, end, days)
    assert opening.until_ms is not None
    assert opening.until_ms > now
    assert hours.opening_at(opening.until_ms).is_open != opening.is_open
    assert hours.opening_at(opening.until_ms - 1).is_open == opening.is_open


@given(instants, st.sampled_from(ZONES), minutes, minutes)
def test_nothing_changes_before_the_instant_given(now: int, zone: str, start: int, end: int) -> None:
    if start == end:
        return
    opening = window(clock(start), clock(end), None, zone).opening_at(now)
    assert opening.until_ms is not None
    for instant in range(now, opening.until_ms, 5 * 60_000):
        assert allowed(instant, zone, start, end, None) == opening.is_open


@given(instants, st.sampled_from(ZONES), instants, instants)
def test_absolute_bounds_flip_where_they_say(now: int, zone: str, start: int, end: int) -> None:
    if start >= end:
        return
    iso = [datetime.fromtimestamp(bound / 1000, UTC).isoformat() for bound in (start, end)]
    hours = window(iso[0], iso[1], None, zone)
    opening = hours.opening_at(now)
    assert opening.is_open == (start <= now < end)
    if opening.until_ms is not None:
        assert hours.opening_at(opening.until_ms).is_open != opening.is_open
