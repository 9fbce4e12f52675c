"""After a data loss, or another campaign's call, the ledger may be older than the backend.

Which of the two is newer is found out before a PATCH.
"""

from __future__ import annotations

from typing import Final

from streamdialer.consumers.dialing.contact_rows import last_attempt_ms
from streamdialer.consumers.services import Services
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.ledger.records import Doubt, Update
from streamdialer.model import Contact, normalise_id

SAME_MS: Final = 1000
"""Backends may keep whole seconds."""
IN_CALL: Final = ("dialing", "answered")
PROGRESS: Final = {
    **dict.fromkeys(("pending", "callback"), 0),
    "dialing": 1,
    "answered": 2,
    **dict.fromkeys(("no_answer", "busy", "failed", "machine", "abandoned"), 3),
    **dict.fromkeys(("completed", "invalid", "do_not_call"), 4),
}
"""How far one attempt has come by its status; an unknown status has come as far as it can."""


def is_newer(update: Update, doubt: Doubt, shown: Contact) -> bool:
    """Whether an update is newer than the contact that the backend shows: by last attempt, attempts and progress."""
    if shown.status == "do_not_call":
        return False
    is_called_again = PROGRESS[update.status] == 0
    if is_called_again and shown.status == doubt.disposition and update.attempts == (shown.attempts or 0):
        return True  # after the end that the backend shows, which may have reached it after the loss
    is_end = shown.status in IN_CALL and update.status not in IN_CALL
    if is_end and update.attempts is not None and update.attempts >= (shown.attempts or 0):
        return True  # the backend waits for the end of this attempt: no list of its brings the contact back
    at_ms, shown_ms = doubt.last_attempt_ms, last_attempt_ms(shown)
    if at_ms is not None and (shown_ms is None or abs(at_ms - shown_ms) >= SAME_MS):
        return shown_ms is None or at_ms > shown_ms
    if update.attempts is not None and update.attempts != (shown.attempts or 0):
        return update.attempts > (shown.attempts or 0)
    if update.status == shown.status:
        return True
    if is_called_again:  # after the end that the backend shows
        return shown.status == doubt.disposition
    return PROGRESS[update.status] > PROGRESS.get(shown.status, 4)


async def is_outdated(services: Services, campaign: str, contact: str, update: Update) -> bool:
    """Whether the backend shows a newer state; raises Unreachable, or RefusedByServer for a contact it cannot show."""
    if update.doubt is None:
        return False
    try:
        shown = await services.backend.contact(campaign, contact)
    except ValueError as error:
        raise RefusedByServer(f"backend: contact {contact} cannot be read: {error}", 200) from error
    except Unreachable:
        if services.backend.shows_contacts:
            raise
        shown = None
    if shown is None:
        if services.backend.shows_contacts:
            return False  # it has gone, and the backend will say so
        if not update.doubt.is_lost:
            return False  # without a loss nothing brings back a contact that is left out by mistake
        shown = await _listed(services, campaign, contact)
    return shown is None or not is_newer(update, update.doubt, shown)


async def _listed(services: Services, campaign: str, contact: str) -> Contact | None:
    """The contact in the backend's list of those that have not ended; None when it is not there."""
    async for page in services.backend.unfinished(campaign, services.settings.page_size):
        for shown in page.contacts:
            if normalise_id(shown.id) == contact:
                return shown
    return None
