"""Time zones all around the world, to find one where it is day or night now."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

NAMES = (
    "Pacific/Honolulu America/Los_Angeles America/Bogota Atlantic/Azores "
    "Europe/Athens Asia/Kolkata Asia/Tokyo Pacific/Auckland"
)

OFFSETS = (  # places whose clock never changes, from UTC-11 to UTC+12
    "Pacific/Pago_Pago Pacific/Honolulu Pacific/Gambier Pacific/Pitcairn America/Phoenix America/Regina "
    "America/Bogota America/Puerto_Rico America/Sao_Paulo America/Noronha Atlantic/Cape_Verde Africa/Abidjan "
    "Africa/Lagos Africa/Maputo Asia/Riyadh Asia/Dubai Asia/Karachi Asia/Dhaka Asia/Bangkok Asia/Singapore "
    "Asia/Tokyo Pacific/Port_Moresby Pacific/Guadalcanal Pacific/Tarawa"
)


def zone_at(hour: int) -> str:
    """A zone where it is that hour now."""
    return next(name for name in OFFSETS.split() if datetime.now(ZoneInfo(name)).hour == hour)


def zone_where(first: int, last: int) -> str:
    """A zone in which the local hour is now at least `first` and below `last`."""
    return next(name for name in NAMES.split() if first <= datetime.now(ZoneInfo(name)).hour < last)
