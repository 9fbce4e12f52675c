"""The calling hours that scripts get: for each zone set, whether it is open and until when."""

from __future__ import annotations

from datetime import UTC, datetime

from streamdialer.consumers.dialing.calling_hours import build_zone_hours
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.ledger.zone_hours import Hours
from streamdialer.model import CampaignSettings, Contact
from streamdialer.rules.calling_hours import CallingHours, calling_hours

HOUR_MS = 3_600_000


def zone_hours_of(hours: CallingHours, now_ms: int, *contacts: Contact) -> Hours | None:
    return build_zone_hours(hours, {str(one.id): load_row(one).call for one in contacts}, (), now_ms)


def test_a_page_of_contacts_brings_the_hours_of_all_their_zones() -> None:
    night = round(datetime(2026, 3, 3, 3, tzinfo=UTC).timestamp() * 1000)
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack="es"), "Europe/Madrid", night)
    contacts = [
        Contact(id=1, phone_number="+34600000000"),
        Contact(id=2, timezone="Atlantic/Canary"),
        Contact(id=3, timezone="+01:00"),
        Contact(id=4, phone_number="600000000"),
    ]
    found = zone_hours_of(hours, night, *contacts)
    assert found is not None
    assert found.contacts == {"1": "Atlantic/Canary,Europe/Madrid", "2": "Atlantic/Canary", "3": "?", "4": ""}
    opens = {name: ((zone.opens_ms or 0) - night) // HOUR_MS for name, zone in found.zones.items()}
    assert opens == {"": 5, "Atlantic/Canary": 6, "Atlantic/Canary,Europe/Madrid": 6}
    assert found.zones["Atlantic/Canary"].rule == (
        "rule pack es 2026.1 (Real Decreto Legislativo 1/2007 (LGDCU), art. 96.2, not verified), "
        "Atlantic/Canary: opens 2026-03-03T09:00:00+00:00"
    )


def test_without_a_law_the_scripts_get_no_hours() -> None:
    hours = calling_hours(CampaignSettings(queue_name="q"), "UTC", 0)
    assert zone_hours_of(hours, 0, Contact(id=1, timezone="UTC-5")) is None


def test_hours_that_never_meet_the_campaigns_are_looked_at_again_after_a_day() -> None:
    now = round(datetime(2026, 3, 3, 15, tzinfo=UTC).timestamp() * 1000)
    own = CampaignSettings(
        queue_name="q", rule_pack="us", timezone="America/Bogota", start_time="10:00", end_time="11:00"
    )
    found = zone_hours_of(calling_hours(own, "UTC", now), now, Contact(id=1, timezone="Asia/Shanghai"))
    assert found is not None
    assert found.zones["Asia/Shanghai"].opens_ms == now + 24 * HOUR_MS
    assert (found.zones["Asia/Shanghai"].rule or "").endswith("Asia/Shanghai: never opens")


def test_a_zone_only_another_replica_knows_is_closed_here_and_stops_no_other_contact() -> None:
    noon = round(datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp() * 1000)
    hours = calling_hours(CampaignSettings(queue_name="q", rule_pack="us"), "UTC", noon)
    found = build_zone_hours(hours, {}, ["Mars/Phobos"], noon)
    assert found is not None
    assert found.zones["Mars/Phobos"].opens_ms == noon + 24 * HOUR_MS
    assert found.zones[""].until_ms == noon + 9 * HOUR_MS
