"""Legal calling hours: how long they are open, in whose zone, and hours that can never be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import calling_hours
from streamdialer.rules.window import Opening
from streamdialer.rules.zones import OWN_ZONE, zone_set


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
