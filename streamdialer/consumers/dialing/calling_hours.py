"""Calling hours for the ledger: each campaign's openings by zone set, by the zone sets of its contacts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.errors import CampaignError
from streamdialer.ledger.campaigns import CampaignLedger
from streamdialer.ledger.zone_hours import UNREADABLE_ZONE, Hours, ZoneOpening
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import CallingHours, calling_hours
from streamdialer.rules.zones import OWN_ZONE, place

log = logging.getLogger(__name__)
RECHECK_BATCHES: Final = 10
RECHECK_BATCH: Final = 500
"""How many batches of deferred contacts one tick rechecks after hours or caps have changed, and their size."""
RECHECK_AFTER_MS: Final = 86_400_000
"""A contact whose hours never meet the campaign's, or cannot be found here, is rechecked after a day."""


class CallingHoursCache:
    """Keeps each campaign's hours while its settings stay the same."""

    def __init__(self, default_zone: str) -> None:
        self._default_zone = default_zone
        self._cache: TTLCache[tuple[CampaignSettings, CallingHours]] = TTLCache()

    def of(self, campaign: str, settings: CampaignSettings, now_ms: int) -> CallingHours:
        """Raises CampaignError for hours or a rule pack that cannot be used."""
        cached = self._cache.get(campaign)
        if cached is None or cached[0] != settings:
            cached = settings, calling_hours(settings, self._default_zone, now_ms)
        return self._cache.put(campaign, cached)[1]


def build_zone_hours(
    hours: CallingHours, contacts: Mapping[str, str], zones: Iterable[str], now_ms: int
) -> Hours | None:
    """The hours that the scripts need for these contacts (JSON of `ContactData`) and zone sets, and for those known.

    None when the rule pack has no hours.
    """
    if hours.pack.hours is None:
        return None
    zones_of_contacts = {
        contact: _place_of(hours, contact, msgspec.json.decode(call, type=_Whereabouts))
        for contact, call in contacts.items()
    }
    zone_sets = {OWN_ZONE, *zones, *zones_of_contacts.values(), *hours.zones()} - {UNREADABLE_ZONE}
    return Hours(
        zones={name: _opening(hours, name, now_ms) for name in sorted(zone_sets)}, contacts=zones_of_contacts
    )


def is_closed(hours: Hours, contact: str) -> bool:
    """Whether the contact is outside its calling hours."""
    opening = hours.zones.get(hours.contacts.get(contact, ""))
    return opening is not None and opening.opens_ms is not None


async def recheck_deferred(ledger: CampaignLedger, campaign: str, hours: CallingHours, now_ms: int) -> bool:
    """Rechecks contacts that old hours or caps deferred; whether the campaign should dial again soon.

    It should when contacts became ready, or when some are still to be rechecked.
    """
    zone_hours, made_ready = build_zone_hours(hours, {}, (), now_ms), 0
    for _ in range(RECHECK_BATCHES):
        ready, is_more = await ledger.recheck_deferred(campaign, zone_hours, RECHECK_BATCH)
        made_ready += ready
        if not is_more:
            return made_ready > 0
    return True


class _Whereabouts(msgspec.Struct):
    """What of `ContactData` tells where a contact is."""

    timezone: str = ""
    region: str = ""
    phone_number: str = ""
    n: list[str] = []


def _place_of(hours: CallingHours, contact: str, data: _Whereabouts) -> str:
    try:
        return place(data.timezone, data.n or [data.phone_number], data.region, hours.states)
    except CampaignError as error:
        log.warning(
            "contact is not dialed: its time zone is unknown", extra={"contact": contact, "error": str(error)}
        )
        return UNREADABLE_ZONE


def _opening(hours: CallingHours, zones: str, now_ms: int) -> ZoneOpening:
    try:
        opening = hours.opening_at(zones, now_ms)
        day = hours.day_at(zones, now_ms) if hours.counts_days else None
    except CampaignError as error:  # another machine knows a zone that this one does not
        return ZoneOpening(opens_ms=now_ms + RECHECK_AFTER_MS, rule=str(error))
    if opening.is_open:
        return ZoneOpening(until_ms=opening.until_ms, law=hours.law_in(zones), day=day)
    opens_ms = now_ms + RECHECK_AFTER_MS if opening.until_ms is None else opening.until_ms
    return ZoneOpening(opens_ms=opens_ms, rule=hours.describe(zones, now_ms), day=day)
