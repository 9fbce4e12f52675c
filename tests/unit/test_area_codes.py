"""Area codes: every zone they lie in counts, and the state they lie in."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata

from streamdialer.rules.area_codes import OVERLAID, STATE_OF
from streamdialer.rules.zones import zones_of_number

EASTERN, CENTRAL, MOUNTAIN, PACIFIC = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
)
SEVERAL = {  # by public tables: codes with more than one offset
    "208": {MOUNTAIN, PACIFIC},
    "219": {EASTERN, CENTRAL},
    "236": {PACIFIC, "America/Edmonton"},
    "250": {PACIFIC, "America/Edmonton"},
    "270": {EASTERN, CENTRAL},
    "306": {"America/Regina", "America/Edmonton"},
    "308": {CENTRAL, MOUNTAIN},
    "364": {EASTERN, CENTRAL},
    "418": {EASTERN, "America/Halifax"},
    "423": {EASTERN, CENTRAL},
    "432": {CENTRAL, MOUNTAIN},
    "448": {EASTERN, CENTRAL},
    "458": {PACIFIC, MOUNTAIN},
    "541": {PACIFIC, MOUNTAIN},
    "574": {EASTERN, CENTRAL},
    "581": {EASTERN, "America/Halifax"},
    "605": {CENTRAL, MOUNTAIN},
    "606": {EASTERN, CENTRAL},
    "620": {CENTRAL, MOUNTAIN},
    "639": {"America/Regina", "America/Edmonton"},
    "701": {CENTRAL, MOUNTAIN},
    "709": {"America/St_Johns", "America/Halifax"},
    "775": {PACIFIC, MOUNTAIN},
    "785": {CENTRAL, MOUNTAIN},
    "807": {EASTERN, CENTRAL},
    "812": {EASTERN, CENTRAL},
    "850": {EASTERN, CENTRAL},
    "867": {EASTERN, CENTRAL, "America/Edmonton"},
    "906": {EASTERN, CENTRAL},
    "907": {"America/Anchorage", "America/Adak"},
    "915": {CENTRAL, MOUNTAIN},
    "928": {"America/Phoenix", MOUNTAIN},
    "930": {EASTERN, CENTRAL},
    "986": {MOUNTAIN, PACIFIC},
}
SAME_CLOCK = {
    "America/Vancouver": PACIFIC,
    "America/Toronto": EASTERN,
    "America/Winnipeg": CENTRAL,
    "America/Boise": MOUNTAIN,
}


@pytest.mark.parametrize("area_code", sorted(SEVERAL))
def test_a_number_is_in_every_zone_of_its_area_code(area_code: str) -> None:
    zones = zones_of_number(f"+1{area_code}2221234")
    assert SEVERAL[area_code] <= {*zones, *(SAME_CLOCK.get(zone, zone) for zone in zones)}


def in_use() -> set[str]:
    """The area codes of the United States and Canada that the library has numbers of."""
    found = set()
    for region in ("US", "CA"):
        plan = PhoneMetadata.metadata_for_region(region)
        assert plan is not None
        assert plan.fixed_line is not None
        pattern = re.compile(plan.fixed_line.national_number_pattern or "")
        found |= {str(code) for code in range(200, 1000) if pattern.fullmatch(f"{code}2345678")}
    return found


def test_every_area_code_in_use_has_a_zone_and_a_state_of_its_country() -> None:
    codes = in_use()
    assert len(codes) > 400
    assert {code for code in codes if not zones_of_number(f"+1{code}2345678")} == set()
    for code in codes:
        number = phonenumbers.parse(f"+1{code}2345678")
        assert STATE_OF[code][:2] == phonenumbers.region_code_for_number(number), code


def test_an_overlaid_area_code_is_in_the_state_of_the_older_one() -> None:
    assert {code for code, older in OVERLAID.items() if STATE_OF[code] != STATE_OF[older]} == set()


def test_a_free_number_has_the_zones_of_its_whole_country() -> None:
    assert len(zones_of_number("+18002221234")) > 5
