"""Do not call, on the real scripts and on the model."""

from __future__ import annotations

from typing import Any

import msgspec

from streamdialer.ledger.suppression import DncLedger
from streamdialer.ledger.types import LoadRow
from streamdialer.rules.numbers import read_number
from tests.support.model_driver.base import DriverBase


def number_of(contact: str) -> str:
    """The same in every campaign."""
    return f"+573001234{int(contact):03d}"


def row_of(
    contact: str,
    priority: int,
    attempts: int,
    problem: str = "",
    reset: bool = False,
    is_marked: bool = False,
) -> LoadRow:
    """A contact as the backend lists it; without a problem it has a number."""
    call: dict[str, Any] = {"id": int(contact), "phone_number": number_of(contact)}
    if not problem:
        call["n"] = [number_of(contact)]
    if is_marked:
        call["dnc"] = True
    encoded, shown_status = msgspec.json.encode(call).decode(), "no_answer" if reset else "pending"
    return LoadRow(contact, priority, attempts, encoded, problem, reset, shown_status=shown_status)


def said_of(row: LoadRow) -> tuple[str | None, bool]:
    """The number of a row, and whether the backend marks it do_not_call."""
    call = msgspec.json.decode(row.call)
    return next(iter(call.get("n", [])), None), call.get("dnc", False)


class SuppressionDriver(DriverBase):
    """Do-not-call requests and the list."""

    @property
    def suppression(self) -> DncLedger:
        return DncLedger(self.scripts, self.keys)

    async def contact_asks(self, campaign: str, contact: str) -> None:
        """The events stage handles a request that names a contact."""
        model, one = self.model, self.model.campaigns[campaign]
        own = await self.suppression.suppress_contact(campaign, contact, "event")
        known = one.contacts.get(contact)
        assert own == ([known.number] if known and known.number else [])
        if known is not None:
            model.suppress(campaign, known)
        elif (campaign, contact) not in model.requests and one.queue:
            model.tell_of(campaign, contact, "do_not_call", None)
        for number in own:
            await self.number_is_suppressed(number)
        if not own:
            model.requests.add((campaign, contact))
        self.seen[f"asks: {known.state if known else 'unknown'}"] += 1

    async def number_is_suppressed(self, number: str) -> None:
        """The number is listed, and all contacts that have it leave the line."""
        await self.suppression.suppress([read_number(number)], "event")
        self.model.listed.add(number)
        for campaign in self.model.campaigns.values():
            for contact in campaign.contacts.values():
                if contact.number == number:
                    self.model.suppress(campaign.id, contact)

    async def number_is_listed(self, number: str) -> None:
        """The process that lists it dies before any contact is taken out of the line."""
        await self.client.hsetnx(self.keys.dnc, number.removeprefix("+"), "+1 by hand")
        self.model.listed.add(number)

    async def number_is_removed(self, number: str) -> None:
        await self.suppression.remove([read_number(number)])
        self.model.listed.discard(number)

    async def check_suppression(self) -> None:
        """The list, the requests and the contacts by number are the model's."""
        model, keys = self.model, self.keys
        pipe = self.client.pipeline(transaction=False)
        pipe.hkeys(keys.dnc)
        pipe.zrange(keys.contacts_by_number, 0, -1)
        for name in model.campaigns:
            pipe.hkeys(keys.pending_dnc(name))
        listed, held, *requests = await pipe.execute()
        assert {f"+{digits}" for digits in listed} == model.listed
        found = zip(model.campaigns, requests, strict=True)
        assert {(name, contact) for name, asked in found for contact in asked} == model.requests
        assert {f"+{name}" for name in held} == {
            f"{contact.number} {campaign.id}:{contact.id}"
            for campaign in model.campaigns.values()
            for contact in campaign.contacts.values()
            if contact.number
        }
