"""What a `do_not_call` event does: the number is listed for all campaigns, its contacts leave the line at once."""

from __future__ import annotations

import logging

from streamdialer.broker import BadEntry
from streamdialer.consumers.services import Services
from streamdialer.consumers.wakeups import WakeupScheduler
from streamdialer.model import DoNotCallEvent
from streamdialer.observability.redaction import mask_number
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)


async def add_to_dnc(event: DoNotCallEvent, services: Services, wakes: WakeupScheduler) -> None:
    """Does it; again, it changes nothing. Raises BadEntry for what names nobody."""
    suppression, why = services.suppression, f"event {event.reason}".strip()
    given = read_number(event.phone_number, await services.country_of(event.campaign_id))
    numbers = [given] if given.digits else []
    campaigns = await suppression.suppress(numbers, why)
    if event.contact_id and event.campaign_id:
        own = await suppression.suppress_contact(event.campaign_id, event.contact_id, why)
        campaigns |= await suppression.suppress([read_number(number) for number in own], why)
        campaigns.add(event.campaign_id)
    elif given.problem:
        raise BadEntry(
            "no_phone_number", f"phone_number is {mask_number(event.phone_number)!r}: {given.problem}"
        )
    for campaign in campaigns:  # a place may have become free
        wakes.queue(await wakes.queue_of(campaign))
    log.info(
        event.type,
        extra={
            "campaign": event.campaign_id,
            "contact": event.contact_id,
            "number": mask_number(event.phone_number),
            "campaigns": len(campaigns),
        },
    )
