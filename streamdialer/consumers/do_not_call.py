"""What a `do_not_call` event does: the number is listed for all campaigns, its contacts leave the line at once."""

from __future__ import annotations

import logging

from streamdialer.consumers.services import Services
from streamdialer.consumers.wakes import Wakes
from streamdialer.masking import mask_number
from streamdialer.model import DoNotCallEvent
from streamdialer.rules.numbers import Number, read_number
from streamdialer.streams import BadEntry

log = logging.getLogger(__name__)


async def suppress(event: DoNotCallEvent, services: Services, wakes: Wakes) -> None:
    """Does it; again, it changes nothing.

    Raises BadEntry for what names nobody, Unreachable when all is done but the numbers that only the backend knows.
    """
    suppression, why = services.suppression, f"event {event.reason}".strip()
    country = await suppression.country_of(event.campaign_id) if event.campaign_id else ""
    country = country or services.settings.country
    given = read_number(event.phone_number, country)
    numbers = [given] if given.digits else []
    campaigns = await suppression.suppress(numbers, why)
    if event.contact_id and event.campaign_id:
        known = await suppression.suppress_contact(event.campaign_id, event.contact_id, why)
        own = [read_number(number) for number in known] or await _shown_numbers(event, country, services)
        campaigns |= await suppression.suppress(own, why)
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


async def _shown_numbers(event: DoNotCallEvent, country: str, services: Services) -> list[Number]:
    """Those of a contact the ledger does not know (any more), which other campaigns may have; raises Unreachable.

    Once the backend is told, it does not list the contact again.
    """
    try:
        contact = await services.backend.contact(event.campaign_id, event.contact_id)
    except ValueError as error:
        log.warning(
            "contact cannot be read, its number is not on the do-not-call list",
            extra={"campaign": event.campaign_id, "contact": event.contact_id, "error": str(error)},
        )
        return []
    numbers = [read_number(spelled, country) for spelled in contact.numbers] if contact else []
    return [number for number in numbers if not number.problem]
