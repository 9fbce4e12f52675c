"""When a contact may be called: in the campaign's hours, and in the statutory hours of every zone they may be in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import Pack, load_pack, state_packs
from streamdialer.rules.statutory_hours import StatutoryHours, statutory_hours
from streamdialer.rules.window import Opening, Window, campaign_window
from streamdialer.rules.zone_clock import DAY_MS, day_of, read_zone
from streamdialer.rules.zones import OWN_ZONE, split_place

_HORIZON_MS: Final = 400 * DAY_MS
"""Hours that do not intersect within a year and the holidays after it never do."""


class Hours(Protocol):
    """Hours that are open or closed at an instant."""

    def opening_at(self, now_ms: int) -> Opening: ...


def intersection(hours: Sequence[Hours], now_ms: int) -> Opening:
    """When all of them are open; closed permanently when that is not within `_HORIZON_MS`."""
    instant, latest = now_ms, None
    while True:
        openings = [each.opening_at(instant) for each in hours]
        closed = [opening for opening in openings if not opening.is_open]
        if not closed:
            if instant > now_ms:
                return Opening(False, instant)
            return Opening(
                True,
                min((opening.until_ms for opening in openings if opening.until_ms is not None), default=None),
            )
        ends = [opening.until_ms for opening in closed if opening.until_ms is not None]
        if len(ends) < len(closed):
            return Opening(False, None)
        instant = max(ends)
        latest = latest or instant + _HORIZON_MS
        if instant > latest:
            return Opening(False, None)


class CallingHours:
    """A campaign's hours under its rule pack and its states' packs, by place (`rules.zones`).

    An opening is cached until it ends.
    """

    def __init__(self, pack: Pack, window: Window, own_zone: ZoneInfo, fingerprint: str = "") -> None:
        self.pack = pack
        self.window = window
        self.fingerprint = fingerprint
        """Differs from that of other hours."""
        self._own_zone = own_zone
        self.states = state_packs(pack.name)
        self.counts_days = any(cap.calendar_day for cap in pack.attempt_caps + pack.contact_caps)
        """A cap counts by the day on the person's clock."""
        self._statutory: dict[str, list[tuple[Pack, StatutoryHours]]] = {}
        self._openings: dict[str, tuple[int, Opening]] = {}
        self._sentences: dict[str, tuple[Opening, str]] = {}

    def opening_at(self, zones: str, now_ms: int) -> Opening:
        """Whether a contact in the zone set may be called, and when this changes.

        Raises CampaignError for a zone set that cannot be read.
        """
        since, opening = self._openings.get(zones, (0, None))
        if opening is None or now_ms < since or (opening.until_ms is not None and now_ms >= opening.until_ms):
            law = [hours for _, hours in self._statutory_in(zones)]
            opening = intersection([self.window, *law], now_ms)
            self._openings[zones] = now_ms, opening
        return opening

    def describe(self, zones: str, now_ms: int) -> str:
        """The rule that allows or forbids calls in the zone set, and until when: a sentence for people."""
        opening, law = self.opening_at(zones, now_ms), self._statutory_in(zones)
        cached = self._sentences.get(zones)
        if cached is None or cached[0] is not opening:
            cached = self._sentences[zones] = opening, self._sentence(opening, law, now_ms)
        return cached[1]

    def law_in(self, zones: str) -> str:
        """The rule packs that hold in the zone set, with their versions, and the zones; '' for packs without hours."""
        law = self._statutory_in(zones)
        packs = dict.fromkeys(pack_version(pack) for pack, _ in law)
        return f"{' + '.join(packs)}; {_zones_text(_places(law))}" if law else ""

    def day_at(self, zones: str, now_ms: int) -> tuple[int, int]:
        """When the day on the person's clock began and when it ends; in several zones, the longest of all."""
        names, _ = split_place(zones)
        days = [day_of(zone, now_ms) for zone in map(read_zone, names)] or [day_of(self._own_zone, now_ms)]
        return min(began for began, _ in days), max(ends for _, ends in days)

    def _sentence(self, opening: Opening, law: Sequence[tuple[Pack, StatutoryHours]], now_ms: int) -> str:
        closed = [pack for pack, hours in law if not hours.opening_at(now_ms).is_open]
        rule = "the campaign's own hours"
        if opening.is_open or closed:
            rule = describe_pack(closed[-1] if closed else law[-1][0] if law else self.pack)
        places = _places(law)
        where = f"{rule}, {_zones_text(places) or self.window.zone.key}"
        if opening.until_ms is None:
            return f"{where}: {'always open' if opening.is_open else 'never opens'}"
        zone = places[0] if len(places) == 1 else UTC if places else self.window.zone
        until = datetime.fromtimestamp(opening.until_ms / 1000, zone).isoformat(timespec="seconds")
        return f"{where}: {'open until' if opening.is_open else 'opens'} {until}"

    def zones(self) -> Iterator[str]:
        """The zone sets seen so far."""
        yield from self._openings

    def _statutory_in(self, zones: str) -> list[tuple[Pack, StatutoryHours]]:
        if self.pack.hours is None:
            return []
        cached = self._statutory.get(zones)
        if cached is None:
            names, states = split_place(zones)
            members = [read_zone(name) for name in names] or [self._own_zone]
            packs = [self.pack, *map(load_pack, states)]
            cached = self._statutory[zones] = [
                (pack, statutory_hours(pack.hours, zone)) for pack in packs if pack.hours for zone in members
            ]
        return cached


def pack_version(pack: Pack) -> str:
    return f"{pack.name} {pack.version}"


def describe_pack(pack: Pack) -> str:
    """The source of a pack's hours, for records and people."""
    hours = pack.hours
    source = "no hours" if hours is None else hours.statute + ("" if hours.verified else ", not verified")
    return f"rule pack {pack_version(pack)} ({source})"


def _places(law: Sequence[tuple[Pack, StatutoryHours]]) -> list[ZoneInfo]:
    return list(dict.fromkeys(hours.zone for _, hours in law))


def _zones_text(zones: Sequence[ZoneInfo]) -> str:
    if len(zones) > 1:
        return f"{len(zones)} zones from {zones[0].key} to {zones[-1].key}"
    return zones[0].key if zones else ""


def calling_hours(settings: CampaignSettings, default_zone: str, now_ms: int) -> CallingHours:
    """The hours of a campaign under its rule pack.

    Raises CampaignError for settings that cannot be read, an unknown pack, and hours that are never legal in the
    campaign's own zone.
    """
    pack = load_pack(settings.rule_pack or "none")
    window = campaign_window(settings, default_zone)
    own = (settings.start_time, settings.end_time, settings.days_of_week, window.zone.key)
    versions = " ".join([pack.version, *(state.version for state in state_packs(pack.name).values())])
    hours = CallingHours(pack, window, window.zone, f"{pack.name} {versions} {own}")
    if pack.hours is not None:
        is_over = window.opening_at(now_ms) == Opening(False, None)
        if not is_over and hours.opening_at(OWN_ZONE, now_ms) == Opening(False, None):
            raise CampaignError(
                f"the campaign's hours are never legal in {window.zone.key} under {describe_pack(pack)}: "
                "takes days and hours the pack opens"
            )
    return hours
