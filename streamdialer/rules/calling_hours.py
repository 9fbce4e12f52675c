"""When a contact may be called: in the campaign's hours, and in the statutory hours of every zone they may be in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.rule_pack import Pack, load_pack
from streamdialer.rules.statutory_hours import StatutoryHours, statutory_hours
from streamdialer.rules.window import Opening, Window, campaign_window
from streamdialer.rules.zone_clock import DAY_MS, read_zone
from streamdialer.rules.zones import OWN_ZONE

_HORIZON_MS: Final = 400 * DAY_MS
"""Hours that do not intersect within a year and a leap of holidays never do."""


class Hours(Protocol):
    """Hours that are open or closed at an instant."""

    def opening_at(self, now_ms: int) -> Opening: ...


def intersection(hours: Sequence[Hours], now_ms: int) -> Opening:
    """When all of them are open; closed for good when that is not within `_HORIZON_MS`."""
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
    """A campaign's hours under its rule pack, by zone set (`rules.zones`). An opening is cached until it ends."""

    def __init__(self, pack: Pack, window: Window, own_zone: ZoneInfo, fingerprint: str = "") -> None:
        self.pack = pack
        self.window = window
        self.fingerprint = fingerprint
        """Differs from that of other hours."""
        self._own_zone = own_zone
        self._statutory: dict[str, list[StatutoryHours]] = {}
        self._openings: dict[str, tuple[int, Opening]] = {}
        self._sentences: dict[str, tuple[Opening, str]] = {}

    def opening_at(self, zones: str, now_ms: int) -> Opening:
        """Whether a contact in the zone set may be called, and when this changes.

        Raises CampaignError for a zone set that cannot be read.
        """
        since, opening = self._openings.get(zones, (0, None))
        if opening is None or now_ms < since or (opening.until_ms is not None and now_ms >= opening.until_ms):
            opening = intersection([self.window, *self._statutory_in(zones)], now_ms)
            self._openings[zones] = now_ms, opening
        return opening

    def describe(self, zones: str, now_ms: int) -> str:
        """The rule that allows or forbids calls in the zone set, and until when: a sentence for people."""
        opening, law = self.opening_at(zones, now_ms), self._statutory_in(zones)
        cached = self._sentences.get(zones)
        if cached is None or cached[0] is not opening:
            cached = self._sentences[zones] = opening, self._sentence(opening, law, now_ms)
        return cached[1]

    def _sentence(self, opening: Opening, law: Sequence[StatutoryHours], now_ms: int) -> str:
        is_legal = all(each.opening_at(now_ms).is_open for each in law)
        rule = describe_pack(self.pack) if opening.is_open or not is_legal else "the campaign's own hours"
        where = f"{rule}, {_zones_text(law) or self.window.zone.key}"
        if opening.until_ms is None:
            return f"{where}: {'always open' if opening.is_open else 'never opens'}"
        zone = law[0].zone if len(law) == 1 else UTC if law else self.window.zone
        until = datetime.fromtimestamp(opening.until_ms / 1000, zone).isoformat(timespec="seconds")
        return f"{where}: {'open until' if opening.is_open else 'opens'} {until}"

    def zones(self) -> Iterator[str]:
        """The zone sets seen so far."""
        yield from self._openings

    def _statutory_in(self, zones: str) -> list[StatutoryHours]:
        if self.pack.hours is None:
            return []
        cached = self._statutory.get(zones)
        if cached is None:
            members = (
                [self._own_zone] if zones == OWN_ZONE else [read_zone(name) for name in zones.split(",")]
            )
            cached = self._statutory[zones] = [statutory_hours(self.pack.hours, zone) for zone in members]
        return cached


def describe_pack(pack: Pack) -> str:
    """The source of a pack's hours, for records and people."""
    hours = pack.hours
    source = "no hours" if hours is None else hours.statute + ("" if hours.verified else ", not verified")
    return f"rule pack {pack.name} {pack.version} ({source})"


def _zones_text(law: Sequence[StatutoryHours]) -> str:
    if len(law) > 1:
        return f"{len(law)} zones from {law[0].zone.key} to {law[-1].zone.key}"
    return law[0].zone.key if law else ""


def calling_hours(settings: CampaignSettings, default_zone: str, now_ms: int) -> CallingHours:
    """The hours of a campaign under its rule pack.

    Raises CampaignError for settings that cannot be read, an unknown pack, and hours that are never legal in the
    campaign's own zone.
    """
    pack = load_pack(settings.rule_pack or "none")
    window = campaign_window(settings, default_zone)
    own = (settings.start_time, settings.end_time, settings.days_of_week, window.zone.key)
    hours = CallingHours(pack, window, window.zone, f"{pack.name} {pack.version} {own}")
    if pack.hours is not None:
        is_over = window.opening_at(now_ms) == Opening(False, None)
        if not is_over and hours.opening_at(OWN_ZONE, now_ms) == Opening(False, None):
            raise CampaignError(
                f"the campaign's hours are never legal in {window.zone.key} under {describe_pack(pack)}: "
                "takes days and hours the pack opens"
            )
    return hours
