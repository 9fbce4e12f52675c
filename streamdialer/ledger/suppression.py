"""Typed stubs of the do-not-call list: numbers nobody calls, in all campaigns, and out of the line with their contacts.

A number is compared by its digits: those of E.164, or, where no country was known, those it was given with. What
`claim` and `begin` do with it is `lua/lib/suppression.lua`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.rules.numbers import Number

_PACKAGE: Final = "streamdialer.ledger"
DNC_ADD_NUMBERS, CONTACTS_BY_NUMBER, DNC_CONTACTS, DNC_CONTACT = (
    Script(_PACKAGE, name)
    for name in ("dnc_add_numbers", "contacts_by_number", "dnc_contacts", "dnc_contact")
)
BATCH: Final = 1000
"""Numbers one script lists: it keeps the server for about a millisecond."""
CONTACTS_BATCH: Final = 200
"""Contacts of one number that one script takes out of the line: it keeps the server for some milliseconds."""
MAX_REASON_CHARS: Final = 200


class DncEntry(msgspec.Struct, frozen=True):
    """A number nobody calls."""

    number: str
    """E.164, or its digits where no country was known."""
    since_s: int
    """Since 1970, by the server's clock."""
    why: str


class DncLedger:
    """The list, and the contacts it takes out of the line."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def suppress(self, numbers: Sequence[Number], why: str) -> set[str]:
        """Lists the numbers and takes their contacts out of the line; the campaigns that had such contacts.

        From the first batch on none of its numbers is dialed, wherever its contacts are.
        """
        campaigns = set()
        for at in range(0, len(numbers), BATCH):
            batch = [str(number) for number in numbers[at : at + BATCH]]
            held = await self._scripts.run(
                DNC_ADD_NUMBERS,
                [self._keys.dnc, self._keys.contacts_by_number],
                [why[:MAX_REASON_CHARS], *batch],
            )
            for number in held:
                campaigns |= await self._suppress_holders(str(number))
        return campaigns

    async def _suppress_holders(self, number: str) -> set[str]:
        """Takes everybody with a listed number (digits) out of the line; their campaigns."""
        campaigns, last = set(), ""
        while True:
            holders = await self._scripts.run(
                CONTACTS_BY_NUMBER, [self._keys.contacts_by_number], [number, last, CONTACTS_BATCH]
            )
            contacts: dict[str, list[str]] = {}
            for last in map(str, holders):
                campaign, _, contact = last.partition(":")
                contacts.setdefault(campaign, []).append(contact)
            for campaign, several in contacts.items():
                names = self._keys.of_campaign(campaign)
                await self._scripts.run(DNC_CONTACTS, names, [campaign, *several])
                campaigns.add(campaign)
            if len(holders) < CONTACTS_BATCH:
                return campaigns

    async def suppress_contact(self, campaign: str, contact: str, why: str) -> list[str]:
        """Takes a contact who asks for it out of the line for good; its numbers, none when they are not known here.

        They are listed, now or as soon as they are known.
        """
        keys = self._keys
        numbers = await self._scripts.run(
            DNC_CONTACT,
            [*keys.of_campaign(campaign), keys.dnc, keys.pending_dnc(campaign)],
            [campaign, contact, why[:MAX_REASON_CHARS]],
        )
        return str(numbers).split()

    async def pending_dnc_reason(self, campaign: str, contact: str) -> str | None:
        """What was said when a contact whose numbers were not known here asked not to be called; None: it did not."""
        found: Any = await self._scripts.client.hget(self._keys.pending_dnc(campaign), contact)
        return None if found is None else str(found).partition(" ")[2]

    async def remove(self, numbers: Sequence[Number]) -> None:
        """Contacts that are loaded from now on may be called; those that were finished stay so."""
        await self._scripts.client.hdel(self._keys.dnc, *(number.digits for number in numbers))

    async def on_dnc_list(self, numbers: Sequence[str]) -> bool:
        """Whether nobody calls one of the numbers, as a record has them."""
        digits = [number.removeprefix("+") for number in numbers]
        return bool(digits) and any(await self._scripts.client.hmget(self._keys.dnc, digits))

    async def check(self, numbers: Sequence[Number]) -> list[DncEntry | None]:
        """Each number's place on the list, None where it has none."""
        digits = [number.digits for number in numbers]
        found: Any = await self._scripts.client.hmget(self._keys.dnc, digits)
        return [
            None if value is None else _listing(number, value)
            for number, value in zip(digits, found, strict=True)
        ]

    async def listings(self) -> AsyncIterator[DncEntry]:
        """The whole list, in no order; what is added or removed meanwhile may be missed, or come."""
        async for digits, value in self._scripts.client.hscan_iter(self._keys.dnc, count=BATCH):
            yield _listing(str(digits), str(value))

    async def size(self) -> int:
        return int(await self._scripts.client.hlen(self._keys.dnc))

    async def country_of(self, campaign: str) -> str:
        """Whose local numbers the campaign has, as it was last loaded; '' when that is not known."""
        return str(await self._scripts.client.hget(self._keys.totals(campaign), "country") or "")


def _listing(digits: str, value: str) -> DncEntry:
    since, _, why = value.partition(" ")
    return DncEntry(f"+{digits}" if since.startswith("+") else digits, int(since), why)
