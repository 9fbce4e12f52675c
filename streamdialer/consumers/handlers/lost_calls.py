"""Call events of contacts the ledger does not know after a data loss: the backend says whether there can be a call.

A call is remembered only in a campaign that the backend shows, of a contact that it shows there and not as final.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from streamdialer.broker.entries import BadEntry
from streamdialer.consumers.dialing.campaign_cache import CampaignCache
from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.consumers.shared_reads import SharedReads
from streamdialer.consumers.ttl_cache import TTLCache
from streamdialer.errors import CampaignError
from streamdialer.ledger.types import LostCall
from streamdialer.model import CallEvent, CampaignSettings, Contact, normalise_id
from streamdialer.rules.caps import Caps, caps_of
from streamdialer.rules.retry import RetryPlan, retry_plan
from streamdialer.rules.rule_pack import load_pack

IN_CALL: Final = frozenset({"dialing", "answered"})
CALLED_AGAIN: Final = frozenset({"no_answer", "busy", "failed"})
LIST_MAX_AGE_S: Final = 2.0
"""A backend that shows no single contacts is asked for its list of contacts in a call no more often than this."""


class LostCalls:
    """What the backend says of contacts whose calls Redis may have lost."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._campaigns = CampaignCache(services)
        self._unknown: TTLCache[str] = TTLCache(services.settings.campaign_cache_ttl_s)
        self._in_call: SharedReads[dict[str, Contact]] = SharedReads(LIST_MAX_AGE_S)

    async def shown(self, event: CallEvent) -> LostCall:
        """Raises BadEntry when there can be no such call, and Unreachable."""
        where = f"(campaign {event.campaign_id}, {event.contact_id})"
        campaign, retry, caps = await self._campaign(event.campaign_id)
        try:
            contact = await self._contact(event.campaign_id, event.contact_id)
        except ValueError as error:
            raise BadEntry("unreadable_contact", f"the backend's contact: {error} {where}") from error
        if contact is None:
            raise BadEntry(
                "unknown_contact",
                f"neither the ledger nor the backend knows this contact in this campaign {where}",
            )
        may_be_called = contact.status in IN_CALL | {"pending", "callback"} or (
            contact.status in CALLED_AGAIN and (contact.attempts or 0) < campaign.max_retries
        )
        if contact.is_suppressed or not may_be_called:
            raise BadEntry(
                "final_contact",
                f"the backend shows the contact as {contact.status}, and no call to it is known here {where}",
            )
        is_preview = campaign.dial_mode == "preview"
        return LostCall(
            row=load_row(contact, country=campaign.country or "", for_preview=is_preview),
            is_in_call=contact.status in IN_CALL,
            retry=retry,
            caps=caps,
            ring_timeout_s=campaign.ring_timeout,
        )

    async def _campaign(self, campaign: str) -> tuple[CampaignSettings, RetryPlan, Caps]:
        problem = self._unknown.get(campaign, self._services.settings.campaign_cache_ttl_s)
        if problem is None:
            try:
                settings = await self._campaigns.settings_of(campaign)
                pack = load_pack(settings.rule_pack or "none")
                return settings, retry_plan(settings), caps_of(pack, settings)
            except CampaignError as error:
                problem = self._unknown.put(campaign, str(error))
        raise BadEntry("unknown_campaign", problem)

    async def _contact(self, campaign: str, contact: str) -> Contact | None:
        """The contact by its id; from a backend that shows no single contacts, if it is in a call."""
        backend = self._services.backend
        shown = await backend.contact(campaign, contact)
        if shown is not None or backend.shows_contacts:
            return shown
        return (await self._in_call.get(campaign, partial(self._list, campaign))).get(contact)

    async def _list(self, campaign: str) -> dict[str, Contact]:
        """Contacts in a call, as many pages as a refill reads; what is not among them is held by the rebuild."""
        listed, pages, settings = dict[str, Contact](), 0, self._services.settings
        async for page in self._services.backend.in_flight(campaign, settings.page_size):
            listed |= {normalise_id(each.id): each for each in page.contacts}
            pages += 1
            if pages >= settings.refill_max_pages:
                break
        return listed
