"""Calling hours for the scripts: whether each zone set is open now, and until when."""

from __future__ import annotations

import msgspec

UNREADABLE_ZONE = "?"
"""In place of a zone set that cannot be read: the contact is not dialed."""


class ZoneOpening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One zone set: open until a time, or closed until a time and by which rule. Server's ms."""

    until_ms: int | None = None
    opens_ms: int | None = None
    rule: str | None = None
    law: str | None = None
    """Of an open one: the rule packs with their versions, and the zones, for the outcomes of calls."""
    day: tuple[int, int] | None = None
    """When the day on the person's clock began and when it ends, where a cap counts by it."""


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """The calling hours a script gets (`lua/lib/hours.lua`)."""

    zones: dict[str, ZoneOpening]
    contacts: dict[str, str] = {}
    """Zone sets of contacts whose record has none."""


class MissingHours(msgspec.Struct, frozen=True):
    """What the hours lacked."""

    zones: dict[str, bool]
    contacts: dict[str, str]
    """Contact -> its call (JSON)."""


def hours_argument(hours: Hours | None) -> str:
    """The hours as a script's argument; '' when contacts may be called at any time."""
    return "" if hours is None else msgspec.json.encode(hours).decode()
