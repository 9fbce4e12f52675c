"""The updates stage sends each contact's newest state to the backend, and repeats it until the backend answers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import anyio
import msgspec

from streamdialer.broker.entries import BadEntry, Entry
from streamdialer.broker.scripts import backoff_s
from streamdialer.consumers.services import Services
from streamdialer.consumers.update_order import UpdateOrder
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.backend import ContactPatch
from streamdialer.ledger.outbox import Delivery
from streamdialer.ledger.records import Update
from streamdialer.observability import tracing
from streamdialer.observability.metrics import UPDATES
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)
MAX_PAUSE_S: Final = 20.0
BUSY_PAUSE_S: Final = 0.5


def patch_of(update: Update) -> ContactPatch:
    """The body of the PATCH request; raises ValidationError for a status that the contract does not name."""
    at_ms = update.last_attempt_ms
    at = (
        None
        if at_ms is None
        else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
    )
    return msgspec.convert(
        {"status": update.status, "attempts": update.attempts, "last_attempt": at}, ContactPatch
    )


class UpdatesStage:
    """Handles entries of `updates`. An entry says that a contact changed; the outbox holds its newest state."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._order = UpdateOrder(services)
        self._is_away = False

    async def handle(self, entry: Entry) -> None:
        try:
            campaign, contact = entry.fields["campaign"], entry.fields["contact"]
        except KeyError as error:
            raise BadEntry("unreadable_update", f"no field {error}") from error
        token, failures = uuid4().hex, 0
        refusals: list[str] = []
        while True:
            update = await self._services.outbox.lease(campaign, contact, token)
            if update == "busy":  # its process may be dead: keep this entry until the lease ends
                await anyio.sleep(BUSY_PAUSE_S)
                continue
            if not isinstance(update, Update):
                break
            self._services.backend.pause(update.backend_paused_ms / 1000)
            try:
                with tracing.call_span(
                    "update",
                    update.trace,
                    attempt=update.attempt,
                    campaign=campaign,
                    contact=contact,
                    status=update.status,
                ):
                    verdict: Delivery = await self._order.verdict(campaign, contact, update)
                    if verdict == "taken":
                        await self._services.backend.patch_contact(contact, patch_of(update))
                        if update.status == "do_not_call":
                            await self._add_numbers_to_dnc(campaign, contact)
            except Unreachable as error:
                self._note_away(error)
                await anyio.sleep(backoff_s(failures, MAX_PAUSE_S))
                failures += 1
                continue
            except RefusedByServer as error:
                verdict = "refused"
                refusals.append(str(error))
            self._note_back()
            UPDATES.labels(verdict).inc()
            words = refusals[-1] if verdict == "refused" else ""
            confirmed = await self._services.outbox.acknowledge(
                campaign, contact, token, update.version, verdict, words
            )
            log.debug(
                "backend updated",
                extra={
                    "campaign": campaign,
                    "contact": contact,
                    "status": update.status,
                    "verdict": verdict,
                    "confirmed": confirmed,
                },
            )
            if confirmed == "done":
                break  # otherwise there is a newer state to send
        if refusals:
            raise BadEntry("refused_by_backend", f"campaign {campaign}, contact {contact}: {refusals[-1]}")

    async def _add_numbers_to_dnc(self, campaign: str, contact: str) -> None:
        """Adds the numbers of a contact the ledger does not know to the do-not-call list, as the backend shows them.

        Other campaigns may have these numbers, and after this update the backend does not list the contact again. The
        contract does not ask a backend to show single contacts. Raises Unreachable.
        """
        backend, suppression = self._services.backend, self._services.suppression
        why = await suppression.pending_dnc_reason(campaign, contact)
        if why is None:
            return
        contact_shown, problem = None, "the backend does not know it"
        try:
            contact_shown = await backend.contact(campaign, contact)
        except (ValueError, Unreachable) as error:
            if isinstance(error, Unreachable) and backend.shows_contacts:
                raise
            problem = str(error)
        if contact_shown is None:
            log.warning(
                "the numbers of a do-not-call contact are unknown: other campaigns may call them",
                extra={"campaign": campaign, "contact": contact, "error": problem},
            )
            return
        country = await self._services.country_of(campaign)
        numbers = [read_number(raw, country) for raw in contact_shown.numbers]
        await suppression.suppress([number for number in numbers if number.digits], why)

    def _note_away(self, error: Unreachable) -> None:
        if not self._is_away:
            log.error("the backend takes no updates; they wait", extra={"error": str(error)})
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            log.warning("the backend takes updates again")
        self._is_away = False
