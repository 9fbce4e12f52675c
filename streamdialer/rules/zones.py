"""The zones in which a contact may be: the contact's own IANA zone, else the geography of its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from streamdialer.rules.zone_clock import read_zone

OWN_ZONE: Final = ""
"""Zone set of a contact with no known zone: it uses the campaign's zone, else the setting's."""
_UNKNOWN_ZONE: Final = "Etc/Unknown"


def zone_set(timezone: str | None, phone_numbers: Iterable[str]) -> str:
    """The zones, sorted and joined by commas; `OWN_ZONE` without a zone and without a number of known geography.

    Raises CampaignError for a `timezone` that is not an IANA name, and for a zone that this machine does not know.
    """
    if timezone and timezone.strip():
        return read_zone(timezone).key
    return ",".join(sorted({zone for number in phone_numbers for zone in zones_of_number(number)}))


@lru_cache(maxsize=8192)
def zones_of_number(phone_number: str) -> tuple[str, ...]:
    """Every zone of the number's geography; none without a country code or a known geography.

    A number that the library takes for unused has the zones of its prefix.
    """
    import phonenumbers
    from phonenumbers import timezone as geography

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
