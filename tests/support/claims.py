"""Claims repeated as a dial tick repeats them: each with what the previous one was missing."""

from __future__ import annotations

import msgspec

from streamdialer.consumers.dialing.calling_hours import build_zone_hours
from streamdialer.consumers.dialing.dial_tick import MAX_CLAIMS
from streamdialer.consumers.dialing.outcome import merge_claims
from streamdialer.consumers.dialing.trunks import Trunks
from streamdialer.consumers.services import Services
from streamdialer.ledger.types import ClaimRequest, ClaimResult
from streamdialer.model import CampaignSettings
from streamdialer.rules.calling_hours import CallingHours


async def claim_within_hours(
    services: Services, campaign: str, queue: str, request: ClaimRequest, hours: CallingHours, now_ms: int
) -> ClaimResult:
    """Claims until the calling hours of all contacts in line are known; the claims as one."""
    zone_hours, merged = build_zone_hours(hours, {}, (), now_ms), None
    for number in range(MAX_CLAIMS):
        token = f"{request.token}.{number}"
        claim = msgspec.structs.replace(request, token=token, hours=zone_hours)
        claimed = await services.campaigns.reserve_contacts(campaign, queue, claim)
        merged = merge_claims(merged, claimed)
        if claimed.missing is None:
            return merged
        zone_hours = build_zone_hours(
            hours, claimed.missing.contacts, claimed.missing.zones, claimed.server_ms
        )
    raise AssertionError(f"hours are still missing after {MAX_CLAIMS} claims: {merged}")


async def claim_on_trunk(
    services: Services, trunks: Trunks, campaign: str, settings: CampaignSettings, request: ClaimRequest
) -> ClaimResult:
    """Claims until the campaigns on the trunk are known."""
    for number in range(MAX_CLAIMS):
        pace = trunks.rate_limits_of(campaign, settings)
        claim = msgspec.structs.replace(request, token=f"{request.token}.{number}", rate_limits=pace)
        claimed = await services.campaigns.reserve_contacts(campaign, settings.queue_name, claim)
        if claimed.reason != "trunk_changed":
            return claimed
        await trunks.refresh_members(settings)
    raise AssertionError(f"the trunk's campaigns are still unknown after {MAX_CLAIMS} claims")
