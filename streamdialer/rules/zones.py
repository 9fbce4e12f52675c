"""Where a contact may be: its own IANA zone, else the zones of its numbers and its region; and the states it may be in.

A *place* is a text, as scripts keep it: the zones, and after a `|` the names of the states' packs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Final

from streamdialer.errors import CampaignError
from streamdialer.rules.area_codes import AREA_CODES, MORE_ZONES, OVERLAID, STATE_OF
from streamdialer.rules.rule_pack import Pack
from streamdialer.rules.zone_clock import UTC_NAMES, read_zone

OWN_ZONE: Final = ""
"""Zone set of a contact with no known zone: it uses the campaign's zone, else the setting's."""
UNKNOWN_REGION: Final = "?"
"""The contact has a region that cannot be read: the rules of every state may apply to it."""
_LISTED: Final = ("US-", "CA-")
"""Countries all of whose states are known."""
_TERRITORIES: Final = frozenset(
    {"US-AS", "US-GU", "US-MP", "US-PR", "US-UM", "US-VI", "CA-NT", "CA-NU", "CA-PE"}
)
"""Without area codes of their own in the list."""
_REGION: Final = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_UNKNOWN_ZONE: Final = "Etc/Unknown"


def read_region(text: str, country: str = "") -> str:
    """An ISO 3166-2 code such as US-FL, also from FL in its `country`; `UNKNOWN_REGION` for other text, '' for none."""
    region = text.strip().upper().replace("_", "-")
    if f"{country}-{region}" in AREA_CODES:
        return f"{country}-{region}"
    is_code = _REGION.fullmatch(region) and (
        region[:3] not in _LISTED or region in {*AREA_CODES, *_TERRITORIES}
    )
    return region if is_code or not region else UNKNOWN_REGION


def place(
    timezone: str | None,
    phone_numbers: Iterable[str],
    region: str = "",
    states: Mapping[str, Pack] | None = None,
) -> str:
    """The contact's zones and the packs of the `states` that may apply to it: by its region, and by its numbers.

    Raises CampaignError for a `timezone` that names no place.
    """
    numbers = list(phone_numbers)
    zones, regions = (
        zone_set(timezone, numbers),
        {state for number in numbers if (state := _state_of(number))},
    )
    if region and region not in regions:
        regions.add(region)
        if not (timezone and timezone.strip()):
            away = {zone for code in AREA_CODES.get(region, ()) for zone in _zones_of_area(code)}
            zones = ",".join(sorted({*filter(None, zones.split(",")), *away}))
    applying = states or {}
    if region != UNKNOWN_REGION:
        applying = {each: applying[each] for each in regions if each in applying}
    packs = sorted(pack.name for pack in applying.values())
    return f"{zones}|{','.join(packs)}" if packs else zones


def split_place(place: str) -> tuple[list[str], list[str]]:
    """Its zones and its states' packs; no zones for `OWN_ZONE`."""
    zones, _, packs = place.partition("|")
    return list(filter(None, zones.split(","))), list(filter(None, packs.split(",")))


def _state_of(phone_number: str) -> str | None:
    return STATE_OF.get(phone_number[2:5]) if phone_number.startswith("+1") else None


def zone_set(timezone: str | None, phone_numbers: Iterable[str]) -> str:
    """The zones, sorted and joined by commas; `OWN_ZONE` without a zone and without a number of known geography.

    Raises CampaignError for a `timezone` that follows no place, and for a zone that this machine does not know.
    """
    if timezone and timezone.strip():
        zone = read_zone(timezone).key
        if zone in UTC_NAMES:
            raise CampaignError(f"timezone {timezone!r} names no place: takes one such as America/Bogota")
        return zone
    return ",".join(sorted({zone for number in phone_numbers for zone in zones_of_number(number)}))


@lru_cache(maxsize=8192)
def zones_of_number(phone_number: str) -> tuple[str, ...]:
    """Every zone of the number's geography; none without a country code or a known geography.

    A North American number has all zones of its area code: a mobile or a moved number tells no more. A number that the
    library takes for unused has the zones of its prefix.
    """
    import phonenumbers
    from phonenumbers import timezone as geography

    try:
        number = phonenumbers.parse(phone_number)
    except phonenumbers.NumberParseException:
        return ()
    if number.country_code == 1 and (in_area := _zones_of_area(str(number.national_number)[:3])):
        return in_area
    for zones in (
        geography.time_zones_for_number(number),
        geography.time_zones_for_geographical_number(number),
    ):
        if _UNKNOWN_ZONE not in zones:
            return tuple(sorted(read_zone(zone).key for zone in zones))
    return ()


def _zones_of_area(area_code: str) -> tuple[str, ...]:
    zones = set[str]()
    for code in (area_code, OVERLAID.get(area_code, "")):
        zones.update(_zones_by_area().get(code, ()), MORE_ZONES.get(code, ()))
    return tuple(sorted(read_zone(zone).key for zone in zones - {_UNKNOWN_ZONE}))


@cache
def _zones_by_area() -> dict[str, set[str]]:
    """The zones of all exchanges of each North American area code."""
    from phonenumbers.tzdata import TIMEZONE_DATA

    found: dict[str, set[str]] = {}
    for prefix, zones in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) >= 4:
            found.setdefault(prefix[1:4], set()).update(zones)
    return found
