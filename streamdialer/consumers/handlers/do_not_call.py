"""Handles `do_not_call`: puts the number on the list for all campaigns and takes its contacts out of the line."""

from __future__ import annotations

import logging

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.wakeups import WakeupScheduler
from streamdialer.consumers.services import Services
from streamdialer.model import DoNotCallEvent
from streamdialer.observability.redaction import mask_number
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)


async def add_to_dnc(event: DoNotCallEvent, services: Services, wakeups: WakeupScheduler) -> None:
    """Idempotent. Raises BadEntry for an event that names no contact and no number that can be read."""
    suppression, why = services.suppression, f"event {event.reason}".strip()
    number = read_number(event.phone_number, await services.country_of(event.campaign_id))
    numbers = [number] if number.digits else []
    campaigns = await suppression.suppress(numbers, why)
    if event.contact_id and event.campaign_id:
        contact_numbers = await suppression.suppress_contact(event.campaign_id, event.contact_id, why)
        campaigns |= await suppression.suppress([read_number(digits) for digits in contact_numbers], why)
        campaigns.add(event.campaign_id)
    elif not numbers:
        raise BadEntry(
            "no_phone_number", f"phone_number is {mask_number(str(event.phone_number))!r}: {number.problem}"
        )
    for campaign in campaigns:  # a call may be possible instead
        wakeups.queue(await wakeups.queue_of(campaign))
    log.info(
        event.type,
        extra={
            "campaign": event.campaign_id,
            "contact": event.contact_id,
            "number": mask_number(str(event.phone_number)),
            "campaigns": len(campaigns),
        },
    )
