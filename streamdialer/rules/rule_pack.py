"""Rule packs: what the law of one jurisdiction says of calling, as data with the statute beside each value.

A pack is `packs/NAME.toml`. One that `inherits` another takes its tables and replaces those it has itself.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streamdialer.errors import CampaignError
from streamdialer.rules.zone_clock import DAY_MS

_PACKS: Final = resources.files("streamdialer.rules") / "packs"
_NOT_INHERITED: Final = {"title", "version"}
_SPAN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")

Count = Annotated[int, Meta(ge=1)]
Hours = Annotated[int, Meta(ge=1)]
Scope = Literal["contact", "number"]
"""`contact`: within its campaign; `number`: whoever has the number, in all campaigns."""
Span = tuple[int, int]
"""From and until, in ms after midnight; the end is the first instant no call may be placed."""


class StatuteValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table of a pack carries."""

    statute: str
    verified: bool = False
    """Whether somebody has compared the value with the gazette."""


class WeeklyHours(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opening hours ("08:00-21:00") on the called person's clock; a day without any is closed."""

    holidays: str | None = None
    """Country of the `holidays` library whose public holidays are closed."""
    monday: tuple[str, ...] = ()
    tuesday: tuple[str, ...] = ()
    wednesday: tuple[str, ...] = ()
    thursday: tuple[str, ...] = ()
    friday: tuple[str, ...] = ()
    saturday: tuple[str, ...] = ()
    sunday: tuple[str, ...] = ()

    def week(self) -> tuple[tuple[Span, ...], ...]:
        """The spans of each day, Monday first; raises ValueError for hours that cannot be read or never open."""
        days = (
            self.monday,
            self.tuesday,
            self.wednesday,
            self.thursday,
            self.friday,
            self.saturday,
            self.sunday,
        )
        week = tuple(_read_day(day) for day in days)
        if not any(week):
            raise ValueError("hours never open: takes at least one day with hours")
        return week


class Cap(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `count` within a rolling window."""

    count: Count
    window_h: Hours
    scope: Scope


class CoolOff(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long nobody calls."""

    hours: Hours
    scope: Scope


class AbandonCap(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest share of abandoned calls, per campaign within a rolling window."""

    share: Annotated[float, Meta(gt=0, lt=1)]
    window_h: Hours
    of: Literal["calls_answered_by_a_person"]
    """The denominator."""


class Pack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one jurisdiction; what is absent is not limited."""

    name: str
    title: str
    version: str
    inherits: str | None = None
    hours: WeeklyHours | None = None
    attempt_caps: tuple[Cap, ...] = ()
    contact_caps: tuple[Cap, ...] = ()
    """Of conversations."""
    min_gap: CoolOff | None = None
    """Between two attempts."""
    abandon_cooloff: CoolOff | None = None
    """After an abandoned call."""
    abandon_cap: AbandonCap | None = None
    duties: tuple[str, ...] = ()
    """What the law asks for besides, and nothing here applies."""


def pack_names() -> list[str]:
    """The packs that exist, in order."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _PACKS.iterdir() if entry.name.endswith(".toml")
    )


@lru_cache
def load_pack(name: str) -> Pack:
    """The pack of that name; raises CampaignError that names those that exist."""
    names = pack_names()
    if name not in names:
        raise CampaignError(f"rule pack {name!r} is unknown: takes one of {', '.join(names)}")
    text = (_PACKS / f"{name}.toml").read_text(encoding="utf-8")
    return read_pack(name, text)


def read_pack(name: str, text: str) -> Pack:
    """A pack from its TOML text; raises CampaignError that says what is wrong with it."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
        if base := tables.get("inherits"):
            inherited = msgspec.structs.asdict(load_pack(base))
            tables = {key: inherited[key] for key in inherited.keys() - _NOT_INHERITED} | tables
        pack = msgspec.convert(tables | {"name": name}, Pack)
        if pack.hours is not None:
            pack.hours.week()
            _check_country(pack.hours.holidays)
    except (tomllib.TOMLDecodeError, ValueError, CampaignError) as error:  # ValidationError is a ValueError
        raise CampaignError(f"rule pack {name}: {error}") from None
    return pack


def _read_day(spans: tuple[str, ...]) -> tuple[Span, ...]:
    day: list[Span] = []
    for text in spans:
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError(f"hours {text!r} cannot be read: takes 08:00-21:00")
        hour, minute, end_hour, end_minute = map(int, found.groups())
        opens_ms, closes_ms = (hour * 60 + minute) * 60_000, (end_hour * 60 + end_minute) * 60_000
        if max(minute, end_minute) > 59 or opens_ms >= closes_ms or closes_ms > DAY_MS:
            raise ValueError(f"hours {text!r} leave no time of the day: takes 08:00-21:00")
        if day and opens_ms < day[-1][1]:
            raise ValueError(f"hours {text!r} begin before those above them end")
        day.append((opens_ms, closes_ms))
    return tuple(day)


def _check_country(country: str | None) -> None:
    if country is None:
        return
    from holidays import list_supported_countries  # slow to import, and most packs have none

    if country not in list_supported_countries():
        raise ValueError(f"holidays {country!r} is unknown: takes a country such as CO")
