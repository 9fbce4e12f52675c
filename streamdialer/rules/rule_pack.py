"""Rule packs: the calling rules of one jurisdiction as data, with the statute beside each value.

A pack is `packs/NAME.toml`. A pack that `inherits` another has its tables, except those it replaces.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from streamdialer.errors import CampaignError
from streamdialer.rules.zone_clock import DAY_MS

_PACKS: Final = resources.files("streamdialer.rules") / "packs"
_NOT_INHERITED: Final = {"title", "version", "region", "adds_to", "sources"}
_STATE: Final = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_SPAN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")

_DAY_H: Final = 24

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Count = Annotated[int, Meta(ge=1)]
Hours = Annotated[int, Meta(ge=1, le=24 * 366)]
Scope = Literal["contact", "number", "person", "subject"]
"""`contact`: within its campaign; `number`: all contacts with the number, in all campaigns; `person`: the contact and
all its numbers, in all campaigns; `subject`: the same, of calls about the contact's `subject`."""
Span = tuple[int, int]
"""Start and end, in ms after midnight; no call may be placed from the end on."""


class StatuteValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields that every table of a pack has."""

    statute: str
    verified: bool = False
    """Whether a person has compared the value with the gazette."""


class WeeklyHours(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opening hours ("08:00-21:00") on the called person's clock; a day without hours is closed."""

    holidays: str | None = None
    """A country of the `holidays` library, or a part of it (`US-AL`); its public holidays are closed."""
    eves: tuple[str, ...] = ()
    """Hours of a day before a public holiday, where they differ."""
    monday: tuple[str, ...] = ()
    tuesday: tuple[str, ...] = ()
    wednesday: tuple[str, ...] = ()
    thursday: tuple[str, ...] = ()
    friday: tuple[str, ...] = ()
    saturday: tuple[str, ...] = ()
    sunday: tuple[str, ...] = ()

    def week(self) -> tuple[tuple[Span, ...], ...]:
        """The spans of each day, Monday first; raises ValueError for hours that cannot be read or never open."""
        week = tuple(_read_day(getattr(self, day)) for day in DAYS)
        if not any(week):
            raise ValueError("hours never open: takes at least one day with hours")
        return week

    def eve(self) -> tuple[Span, ...] | None:
        """The spans of a day before a public holiday; None where they do not differ. Raises ValueError."""
        return _read_day(self.eves) or None


class Cap(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `count` calls within a rolling window."""

    count: Count
    window_h: Hours
    scope: Scope
    calendar_day: bool = False
    """Within a day on the person's clock instead; the window holds where that clock is not known."""


class CoolOff(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pause without calls."""

    hours: Hours
    scope: Scope


class AbandonCap(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest share of abandoned calls of a campaign within a rolling window."""

    share: Annotated[float, Meta(gt=0, lt=1)]
    window_h: Hours
    of: Literal["calls_answered_by_a_person"]
    """The denominator."""


class MinRing(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a call rings at least before it may be taken back."""

    seconds: Annotated[float, Meta(gt=0, le=120)]


class Consent(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only contacts with a `consent` are called."""

    max_age_days: Annotated[int, Meta(ge=1)] | None = None
    """An older consent does not count."""


class Registry(StatuteValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry of numbers that must not be called; a campaign is not dialed when its newest query is too old."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]{1,32}$")]
    max_age_days: Annotated[int, Meta(ge=1)]
    """Largest age of its newest answer."""


class Pack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one jurisdiction; without a table there is no limit."""

    name: str
    title: str
    version: str
    sources: tuple[str, ...] = ()
    """Public pages with the text of the law or a summary of it, for those who verify the values."""
    inherits: str | None = None
    region: str | None = None
    """ISO 3166-2 code of the state whose people and numbers the pack is for."""
    adds_to: str | None = None
    """The country's pack, which applies this one as well to the contacts of the `region`."""
    hours: WeeklyHours | None = None
    attempt_caps: tuple[Cap, ...] = ()
    contact_caps: tuple[Cap, ...] = ()
    """Of conversations."""
    min_gap: CoolOff | None = None
    """Between two attempts."""
    abandon_cooloff: CoolOff | None = None
    """After an abandoned call."""
    machine_cooloff: CoolOff | None = None
    """After a call that a machine answered: the machine may have been a person who was hung up on."""
    abandon_cap: AbandonCap | None = None
    min_ring: MinRing | None = None
    """None: not known, so no call is taken back for pacing."""
    consent_required: Consent | None = None
    registries: tuple[Registry, ...] = ()
    duties: tuple[str, ...] = ()
    """Other duties of the law, which streamdialer does not enforce."""


def pack_names() -> list[str]:
    """The names of all packs, sorted."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _PACKS.iterdir() if entry.name.endswith(".toml")
    )


@lru_cache
def load_pack(name: str) -> Pack:
    """The pack of that name; raises CampaignError that lists the names."""
    names = pack_names()
    if name not in names:
        raise CampaignError(f"rule pack {name!r} is unknown: takes one of {', '.join(names)}")
    text = (_PACKS / f"{name}.toml").read_text(encoding="utf-8")
    return read_pack(name, text)


def read_pack(name: str, text: str) -> Pack:
    """A pack from its TOML text; raises CampaignError that says what is wrong."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
        if base := tables.get("inherits"):
            base = msgspec.convert(base, str)
            inherited = msgspec.structs.asdict(load_pack(base))
            tables = {key: inherited[key] for key in inherited.keys() - _NOT_INHERITED} | tables
        pack = msgspec.convert(tables | {"name": name}, Pack)
        if pack.hours is not None:
            pack.hours.week()
            pack.hours.eve()
            _check_country(pack.hours.holidays)
        _check_state(pack)
        _check_days(pack.attempt_caps + pack.contact_caps)
    except (tomllib.TOMLDecodeError, ValueError, CampaignError) as error:  # ValidationError is a ValueError
        raise CampaignError(f"rule pack {name}: {error}") from None
    return pack


@cache
def state_packs(name: str) -> dict[str, Pack]:
    """The packs that add to that one, by region."""
    packs = [load_pack(each) for each in pack_names() if each.startswith(f"{name}-")]
    return {pack.region: pack for pack in packs if pack.adds_to == name and pack.region}


@cache
def registry_packs() -> dict[str, list[str]]:
    """Each registry that a pack asks for, and those packs."""
    names: dict[str, list[str]] = {}
    for name in pack_names():
        for registry in load_pack(name).registries:
            names.setdefault(registry.name, []).append(name)
    return names


def _read_day(spans: tuple[str, ...]) -> tuple[Span, ...]:
    day: list[Span] = []
    for text in spans:
        match = _SPAN.fullmatch(text)
        if match is None:
            raise ValueError(f"hours {text!r} cannot be read: takes 08:00-21:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        opens_ms, closes_ms = (hour * 60 + minute) * 60_000, (end_hour * 60 + end_minute) * 60_000
        if max(minute, end_minute) > 59 or opens_ms >= closes_ms or closes_ms > DAY_MS:
            raise ValueError(
                f"hours {text!r} are not hours of one day: takes two times from 00:00 to 24:00, such as 08:00-21:00"
            )
        if day and opens_ms < day[-1][1]:
            raise ValueError(f"hours {text!r} overlap with those before them: takes hours in order")
        day.append((opens_ms, closes_ms))
    return tuple(day)


def _check_state(pack: Pack) -> None:
    """A pack that adds to another one is found by its name, and applies by its region."""
    if pack.adds_to is None:
        return
    if not pack.name.startswith(f"{pack.adds_to}-"):
        raise ValueError(f"adds_to {pack.adds_to!r}: takes a file whose name begins with {pack.adds_to}-")
    if pack.region is None or not _STATE.fullmatch(pack.region):
        raise ValueError(f"region {pack.region!r}: takes an ISO 3166-2 code such as US-FL")


def _check_days(caps: Iterable[Cap]) -> None:
    if any(cap.calendar_day and cap.window_h != _DAY_H for cap in caps):
        raise ValueError("a cap per calendar_day takes window_h = 24")


def _check_country(country: str | None) -> None:
    if country is None:
        return
    from holidays import list_supported_countries  # slow to import, and most packs have none

    name, _, part = country.partition("-")
    parts = list_supported_countries().get(name)
    if parts is None or (part and part not in parts):
        raise ValueError(f"holidays {country!r} is unknown: takes a country such as CO")
