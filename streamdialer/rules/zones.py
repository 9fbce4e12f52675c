"""In which zones the person called may be: an IANA name the contact has, else the geography of the number."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import timezone as geography

from streamdialer.rules.zone_clock import read_zone

OWN_ZONE: Final = ""
"""Zone set of a contact of whom nothing is known: the campaign's zone, else the setting's."""
_UNKNOWN_ZONE: Final = "Etc/Unknown"


def zone_set(timezone: str | None, phone_numbers: Iterable[str]) -> str:
    """The zones in order, joined by commas; `OWN_ZONE` when neither the zone nor a number says anything.

    Raises CampaignError for a `timezone` that is no IANA name, and for a zone this machine does not know.
    """
    if timezone and timezone.strip():
        return read_zone(timezone).key
    return ",".join(sorted({zone for number in phone_numbers for zone in zones_of_number(number)}))


@lru_cache(maxsize=8192)
def zones_of_number(phone_number: str) -> tuple[str, ...]:
    """Every zone the number's geography spans; none without a country code or a known geography.

    A number that cannot be in use, as far as the library knows, has the zones of its prefix.
    """
    try:
        number = phonenumbers.parse(phone_number)
    except phonenumbers.NumberParseException:
        return ()
    for zones in (
        geography.time_zones_for_number(number),
        geography.time_zones_for_geographical_number(number),
    ):
        if _UNKNOWN_ZONE not in zones:
            return tuple(sorted(read_zone(zone).key for zone in zones))
    return ()
