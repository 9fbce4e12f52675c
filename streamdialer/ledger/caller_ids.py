"""The caller ids of a campaign, as the scripts take them (`lua/lib/caller_ids.lua`)."""

from __future__ import annotations

import msgspec


class CallerIdPool(msgspec.Struct, frozen=True, kw_only=True):
    """The caller ids that a campaign's calls show in turn."""

    ids: tuple[tuple[str, str], ...]
    """Each as it is shown, and its digits with the calling code."""
    by_area: bool
    """Those with the called number's area code come first."""
    cap: int | None
    """Most calls per caller id and calendar day."""
    day: int
    """The calendar day in the campaign's time zone (`date.toordinal`)."""
    day_ends_ms: int
    """Server's time."""

    @property
    def choice(self) -> str:
        """`rotate` or `area_code`."""
        return "area_code" if self.by_area else "rotate"
