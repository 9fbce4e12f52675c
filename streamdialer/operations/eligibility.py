"""Why a ready contact cannot be dialed now: its calling hours, and what the ledger knows of it."""

from __future__ import annotations

from datetime import UTC, datetime

from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.calling_hours import build_zone_hours
from streamdialer.consumers.dialing.campaign_cache import with_defaults
from streamdialer.errors import CampaignError, Unreachable
from streamdialer.gateways.backend import Backend
from streamdialer.ledger.eligibility import Ineligibility, check_eligibility
from streamdialer.rules.calling_hours import CallingHours, calling_hours


async def fetch_calling_hours(settings: Settings, campaign: str) -> CallingHours | str:
    """The campaign's calling hours now, or a sentence why they are not known."""
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    try:
        async with Backend(settings) as backend:
            campaign_settings = with_defaults(await backend.campaign(campaign), settings)
            return calling_hours(campaign_settings, settings.timezone, now_ms)
    except (CampaignError, Unreachable) as error:
        return str(error)


async def eligibility_at(
    client: Redis,
    keys: Keys,
    campaign: str,
    contact: str,
    *,
    call: str,
    zones: str | None,
    hours: CallingHours | str,
    server_ms: int,
) -> Ineligibility:
    """Why a ready contact cannot be dialed at `server_ms`.

    `call` is its JSON (`ContactData`), `zones` its zone set where that is known. Raises redis.RedisError.
    """
    zone_hours = None
    if not isinstance(hours, str):
        own = hours.window.opening_at(server_ms)
        if not own.is_open:
            return Ineligibility("window_closed", own.until_ms, "the campaign's own hours")
        zone_hours = build_zone_hours(hours, {contact: call}, [zones] if zones else [], server_ms)
    return await check_eligibility(client, keys, campaign, contact, zone_hours)
