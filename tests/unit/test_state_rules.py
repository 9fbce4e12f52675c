"""Rules of states in a campaign for the whole country: by the contact's region and by its numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.model import CampaignSettings, Contact
from streamdialer.rules.calling_hours import CallingHours, calling_hours
from streamdialer.rules.rule_pack import load_pack, state_packs
from streamdialer.rules.statutory_hours import public_holidays, statutory_hours
from streamdialer.rules.zones import UNKNOWN_REGION, place, read_region

STATES = state_packs("us")
MIAMI, NEW_YORK = "+13055551234", "+12125551234"


def hours_at(moment: datetime) -> tuple[CallingHours, int]:
    now_ms = round(moment.timestamp() * 1000)
    settings = CampaignSettings(queue_name="q", rule_pack="us", timezone="America/New_York")
    return calling_hours(settings, "UTC", now_ms), now_ms


@pytest.mark.parametrize(
    ("number", "region", "is_open"),
    [
        (MIAMI, "", False),
        (NEW_YORK, "", True),
        (NEW_YORK, "US-FL", False),
        (MIAMI, "US-NY", False),
        (NEW_YORK, "US-TX", True),
    ],
)
def test_at_half_past_eight_in_the_evening_florida_is_closed(number: str, region: str, is_open: bool) -> None:
    hours, now_ms = hours_at(datetime(2026, 11, 25, 20, 30, tzinfo=ZoneInfo("America/New_York")))
    where = place(None, [number], region, hours.states)
    assert hours.opening_at(where, now_ms).is_open == is_open
    if not is_open:
        assert "Fla. Stat. 501.616(6)(a)" in hours.describe(where, now_ms)


def test_a_contact_with_numbers_of_two_states_has_the_rules_of_both() -> None:
    assert place(None, [MIAMI, "+12145551234"], "", STATES) == "America/Chicago,America/New_York|us-fl,us-tx"


def test_a_person_who_lives_elsewhere_than_the_number_is_called_where_both_are_open() -> None:
    assert place(None, [NEW_YORK], "US-CA", STATES) == "America/Los_Angeles,America/New_York"
    assert place("America/Denver", [NEW_YORK], "US-CA", STATES) == "America/Denver"
    assert place(None, ["5551234"], "US-CA", STATES) == "America/Los_Angeles"


@pytest.mark.parametrize(
    ("text", "country", "region"),
    [
        ("", "US", ""),
        (" us_fl ", "", "US-FL"),
        ("FL", "US", "US-FL"),
        ("fl", "", UNKNOWN_REGION),
        ("Florida", "US", UNKNOWN_REGION),
        ("US-ZZ", "", UNKNOWN_REGION),
        ("CA", "US", "US-CA"),
        ("US-PR", "US", "US-PR"),
        ("CA-PE", "CA", "CA-PE"),
        ("CO-ANT", "CO", "CO-ANT"),
    ],
)
def test_a_region_is_a_code_or_a_state_of_the_country(text: str, country: str, region: str) -> None:
    assert read_region(text, country) == region


def test_the_rules_of_every_state_may_apply_to_a_person_whose_region_cannot_be_read() -> None:
    where = place("America/New_York", [NEW_YORK], UNKNOWN_REGION, STATES)
    assert where == f"America/New_York|{','.join(sorted(pack.name for pack in STATES.values()))}"
    assert place("America/New_York", [NEW_YORK], UNKNOWN_REGION) == "America/New_York"
    contact = Contact(id=1, phone_number=NEW_YORK, region="Florida")
    assert '"region":"?"' in load_row(contact, country="US").call


def test_each_of_six_states_is_called_only_while_it_is_open() -> None:
    numbers = {
        "US-FL": ("+13055551234", "America/New_York"),
        "US-TX": ("+12145551234", "America/Chicago"),
        "US-WA": ("+12065551234", "America/Los_Angeles"),
        "US-CT": ("+12035551234", "America/New_York"),
        "US-AL": ("+12055551234", "America/Chicago"),
        "US-NY": ("+12125551234", "America/New_York"),
    }
    for day in (25, 26, 28, 29):  # Wednesday, Thanksgiving, Saturday, Sunday
        for hour in range(24):
            moment = datetime(2026, 11, day, hour, 30, tzinfo=UTC)
            hours, now_ms = hours_at(moment)
            for state, (number, zone) in numbers.items():
                local = moment.astimezone(ZoneInfo(zone))
                minute, weekday = local.hour * 60 + local.minute, local.weekday()
                begins, ends = {
                    "US-FL": (480, 1200),
                    "US-TX": (720 if weekday == 6 else 540, 1260),
                    "US-WA": (480, 1200),
                    "US-CT": (540, 1200),
                    "US-AL": (480, 1200),
                    "US-NY": (480, 1260),
                }[state]
                is_legal = begins <= minute < ends
                if state == "US-AL" and (weekday == 6 or local.day == 26):
                    is_legal = False
                where = place(None, [number], "", hours.states)
                assert hours.opening_at(where, now_ms).is_open == is_legal, (state, local)


def test_debt_collection_has_no_states_sales_rules() -> None:
    assert state_packs("us-regf") == {}
    assert len(STATES) == 10


@pytest.mark.parametrize(
    ("day", "hour", "is_open"),
    [
        (30, 18, True),  # Monday before a working day
        (7, 18, True),
        (7, 19, False),  # the eve of the Immaculate Conception
        (7, 9, False),
        (8, 12, False),
        (9, 19, True),
    ],
)
def test_the_eve_of_an_italian_holiday_has_its_own_hours(day: int, hour: int, is_open: bool) -> None:
    rome, law = ZoneInfo("Europe/Rome"), load_pack("it").hours
    assert law is not None
    moment = datetime(2026, 11 if day == 30 else 12, day, hour, 30, tzinfo=rome)
    assert statutory_hours(law, rome).opening_at(round(moment.timestamp() * 1000)).is_open == is_open


def test_a_state_has_holidays_of_its_own() -> None:
    assert len(public_holidays("US-AL", 2026) - public_holidays("US", 2026)) > 0
