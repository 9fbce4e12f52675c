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
SUPPRESS_NUMBERS, HOLDERS, SUPPRESS_CONTACTS, SUPPRESS_CONTACT = (
    Script(_PACKAGE, name)
    for name in ("dnc_add_numbers", "contacts_by_number", "dnc_contacts", "dnc_contact")
)
BATCH: Final = 1000
"""Numbers one script lists: it keeps the server for about a millisecond."""
HELD_AT_ONCE: Final = 200
"""Contacts of one number that one script takes out of the line: it keeps the server for some milliseconds."""
LONGEST_REASON: Final = 200


class Listing(msgspec.Struct, frozen=True):
    """A number nobody calls."""

    number: str
    """E.164, or its digits where no country was known."""
    since_s: int
    """Since 1970, by the server's clock."""
    why: str


class Suppression:
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
                SUPPRESS_NUMBERS, [self._keys.do_not_call, self._keys.holders], [why[:LONGEST_REASON], *batch]
            )
            for number in held:
                campaigns |= await self._suppress_holders(str(number))
        return campaigns

    async def _suppress_holders(self, number: str) -> set[str]:
        """Takes everybody with a listed number (digits) out of the line; their campaigns."""
        campaigns, last = set(), ""
        while True:
            holders = await self._scripts.run(HOLDERS, [self._keys.holders], [number, last, HELD_AT_ONCE])
            contacts: dict[str, list[str]] = {}
            for last in map(str, holders):
                campaign, _, contact = last.partition(":")
                contacts.setdefault(campaign, []).append(contact)
            for campaign, several in contacts.items():
                names = self._keys.of_campaign(campaign)
                await self._scripts.run(SUPPRESS_CONTACTS, names, [campaign, *several])
                campaigns.add(campaign)
            if len(holders) < HELD_AT_ONCE:
                return campaigns

    async def suppress_contact(self, campaign: str, contact: str, why: str) -> list[str]:
        """Takes a contact who asks for it out of the line for good; its numbers, none when they are not known here.

        They are listed, now or as soon as they are known.
        """
        keys = self._keys
        numbers = await self._scripts.run(
            SUPPRESS_CONTACT,
            [*keys.of_campaign(campaign), keys.do_not_call, keys.requests(campaign)],
            [campaign, contact, why[:LONGEST_REASON]],
        )
        return str(numbers).split()

    async def why_asked(self, campaign: str, contact: str) -> str | None:
        """What was said when a contact whose numbers were not known here asked not to be called; None: it did not."""
        found: Any = await self._scripts.client.hget(self._keys.requests(campaign), contact)
        return None if found is None else str(found).partition(" ")[2]

    async def remove(self, numbers: Sequence[Number]) -> None:
        """Contacts that are loaded from now on may be called; those that were finished stay so."""
        await self._scripts.client.hdel(self._keys.do_not_call, *(number.digits for number in numbers))

    async def are_listed(self, numbers: Sequence[str]) -> bool:
        """Whether nobody calls one of the numbers, as a record has them."""
        digits = [number.removeprefix("+") for number in numbers]
        return bool(digits) and any(await self._scripts.client.hmget(self._keys.do_not_call, digits))

    async def check(self, numbers: Sequence[Number]) -> list[Listing | None]:
        """Each number's place on the list, None where it has none."""
        digits = [number.digits for number in numbers]
        found: Any = await self._scripts.client.hmget(self._keys.do_not_call, digits)
        return [
            None if value is None else _listing(number, value)
            for number, value in zip(digits, found, strict=True)
        ]

    async def listings(self) -> AsyncIterator[Listing]:
        """The whole list, in no order; what is added or removed meanwhile may be missed, or come."""
        async for digits, value in self._scripts.client.hscan_iter(self._keys.do_not_call, count=BATCH):
            yield _listing(str(digits), str(value))

    async def size(self) -> int:
        return int(await self._scripts.client.hlen(self._keys.do_not_call))

    async def country_of(self, campaign: str) -> str:
        """Whose local numbers the campaign has, as it was last loaded; '' when that is not known."""
        return str(await self._scripts.client.hget(self._keys.totals(campaign), "country") or "")


def _listing(digits: str, value: str) -> Listing:
    since, _, why = value.partition(" ")
    return Listing(f"+{digits}" if since.startswith("+") else digits, int(since), why)
