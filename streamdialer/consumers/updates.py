"""The updates stage: tells the backend what became of each contact, newest state only, for as long as it takes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import anyio
import msgspec

from streamdialer.broker import BadEntry, Entry
from streamdialer.broker.scripts import backoff_s
from streamdialer.consumers.services import Services
from streamdialer.errors import RefusedByServer, Unreachable
from streamdialer.gateways.backend import ContactPatch
from streamdialer.ledger import Update
from streamdialer.observability import tracing
from streamdialer.rules.numbers import read_number

log = logging.getLogger(__name__)
MAX_PAUSE_S: Final = 20.0
BUSY_PAUSE_S: Final = 0.5


def patch_of(update: Update) -> ContactPatch:
    """The contract's PATCH body; raises ValidationError for a status it does not name."""
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
    """Handles entries of `updates`: each says that a contact has news, the outbox says which."""

    def __init__(self, services: Services) -> None:
        self._services = services
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
            if update == "busy":  # its deliverer may have been killed: this entry has to outlive the lease
                await anyio.sleep(BUSY_PAUSE_S)
                continue
            if not isinstance(update, Update):
                break
            try:
                with tracing.call_span(
                    "update",
                    update.trace,
                    attempt=update.attempt,
                    campaign=campaign,
                    contact=contact,
                    status=update.status,
                ):
                    await self._services.backend.patch_contact(contact, patch_of(update))
                    if update.status == "do_not_call":
                        await self._list_numbers(campaign, contact)
            except Unreachable as error:
                self._away(error)
                await anyio.sleep(backoff_s(failures, MAX_PAUSE_S))
                failures += 1
                continue
            except RefusedByServer as error:
                refusals.append(str(error))
            self._back()
            confirmed = await self._services.outbox.acknowledge(campaign, contact, token, update.version)
            log.debug(
                "told the backend",
                extra={
                    "campaign": campaign,
                    "contact": contact,
                    "status": update.status,
                    "confirmed": confirmed,
                },
            )
            if confirmed == "done":
                break  # otherwise there is a newer state, or another deliverer's was overwritten: once more
        if refusals:
            raise BadEntry("refused_by_backend", f"campaign {campaign}, contact {contact}: {refusals[-1]}")

    async def _list_numbers(self, campaign: str, contact: str) -> None:
        """Of a contact that asked not to be called and whose numbers are not known here: those the backend shows.

        Once told, it does not list the contact again, and other campaigns may have the numbers. A backend that does not
        show single contacts need not: the contract does not ask for it. Raises Unreachable.
        """
        backend, suppression = self._services.backend, self._services.suppression
        why = await suppression.pending_dnc_reason(campaign, contact)
        if why is None:
            return
        shown, trouble = None, "not there"
        try:
            shown = await backend.contact(campaign, contact)
        except (ValueError, Unreachable) as error:
            if isinstance(error, Unreachable) and backend.shows_contacts:
                raise
            trouble = str(error)
        if shown is None:
            log.warning(
                "who asked not to be called is not shown: other campaigns may call the number",
                extra={"campaign": campaign, "contact": contact, "error": trouble},
            )
            return
        country = await self._services.country_of(campaign)
        numbers = [read_number(spelled, country) for spelled in shown.numbers]
        await suppression.suppress([number for number in numbers if not number.problem], why)

    def _away(self, error: Unreachable) -> None:
        if not self._is_away:
            log.error("the backend does not take updates; they wait", extra={"error": str(error)})
        self._is_away = True

    def _back(self) -> None:
        if self._is_away:
            log.warning("the backend takes updates again")
        self._is_away = False
