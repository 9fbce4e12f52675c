"""Calling hours as the scripts take them: per zone set, whether it is open at this moment and until when."""

from __future__ import annotations

import msgspec

UNREADABLE_ZONE = "?"
"""In place of a zone set: the contact is not dialed."""


class ZoneOpening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One zone set: open (until), or closed (opens and why); server's own time, ms."""

    until_ms: int | None = msgspec.field(default=None, name="u")
    opens_ms: int | None = msgspec.field(default=None, name="o")
    rule: str | None = msgspec.field(default=None, name="s")


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim or a load knows of calling hours (`lua/lib/hours.lua`)."""

    zones: dict[str, ZoneOpening]
    contacts: dict[str, str] = {}
    """Zone sets of contacts that were loaded without."""


class MissingHours(msgspec.Struct, frozen=True):
    """What a claim would have needed besides."""

    zones: dict[str, bool]
    contacts: dict[str, str]
    """Contact -> its call (JSON)."""


def hours_argument(hours: Hours | None) -> str:
    """As a script's argument; '' when everybody may be called at any time."""
    return "" if hours is None else msgspec.json.encode(hours).decode()
