"""Typed stubs of the do-not-call list: its numbers are called in no campaign, nor are contacts who have one of them.

A number is compared by its digits: those of E.164, or the digits as given where no country was known
(`lua/lib/spellings.lua`). The scripts that reserve and send calls check the list (`lua/lib/suppression.lua`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Script, Scripts

if TYPE_CHECKING:
    from streamdialer.rules.numbers import Number  # loads every country's numbering plan

_PACKAGE: Final = "streamdialer.ledger"
(
    DNC_ADD_NUMBERS,
    DNC_FIND_NUMBERS,
    DNC_REMOVE_NUMBERS,
    DNC_RECORD_QUERY,
    CONTACTS_BY_NUMBER,
    DNC_CONTACTS,
    DNC_CONTACT,
) = (
    Script(_PACKAGE, name)
    for name in (
        *("dnc_add_numbers", "dnc_find_numbers", "dnc_remove_numbers", "dnc_record_query"),
        *("contacts_by_number", "dnc_contacts", "dnc_contact"),
    )
)
IMPORTED: Final = "import"
"""Why a number of a file is listed; a change file takes off only these, never a person's own request."""
BATCH: Final = 1000
"""Numbers per script call, which blocks the server for about a millisecond."""
CONTACTS_BATCH: Final = 200
"""Contacts of a number per script call, which blocks the server for some milliseconds."""
MAX_REASON_CHARS: Final = 200
_REGISTRY: Final = "registry:"


class DncEntry(msgspec.Struct, frozen=True):
    """A number on the do-not-call list."""

    number: str
    """E.164, or the digits as given where no country was known."""
    since_s: int
    """Seconds since 1970, by the server's clock."""
    why: str


class RegistryQuery(msgspec.Struct, frozen=True):
    """The newest query of a registry of numbers that must not be called."""

    registry: str
    asked_s: int
    """Seconds since 1970."""
    imported_s: int
    numbers: int
    """In its answer."""


class DncLedger:
    """The do-not-call list and the contacts it takes out of dialing."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def suppress(self, numbers: Sequence[Number], why: str) -> set[str]:
        """Puts numbers onto the list and takes their contacts out of dialing; the campaigns of these contacts.

        A number is no longer dialed once its batch is on the list, whatever the state of its contacts.
        """
        campaigns = set()
        for at in range(0, len(numbers), BATCH):
            batch = [str(number) for number in numbers[at : at + BATCH]]
            numbers_with_contacts = await self._scripts.run(
                DNC_ADD_NUMBERS,
                [self._keys.dnc, self._keys.contacts_by_number, self._keys.server],
                [why[:MAX_REASON_CHARS], *batch],
            )
            for number in numbers_with_contacts:
                campaigns |= await self._suppress_contacts_of(str(number))
        return campaigns

    async def _suppress_contacts_of(self, number: str) -> set[str]:
        """Takes all contacts of a number (digits) on the list out of dialing; their campaigns."""
        campaigns, last = set(), ""
        while True:
            names = await self._scripts.run(
                CONTACTS_BY_NUMBER, [self._keys.contacts_by_number], [number, last, CONTACTS_BATCH]
            )
            contacts: dict[str, list[str]] = {}
            for last in map(str, names):
                campaign, _, contact = last.partition(":")
                contacts.setdefault(campaign, []).append(contact)
            for campaign, ids in contacts.items():
                touched = [*self._keys.of_campaign(campaign), self._keys.hangups, self._keys.dnc]
                await self._scripts.run(DNC_CONTACTS, touched, [campaign, *ids])
                campaigns.add(campaign)
            if len(names) < CONTACTS_BATCH:
                return campaigns

    async def suppress_contact(self, campaign: str, contact: str, why: str) -> list[str]:
        """Takes a contact who must not be called again out of dialing; its numbers, none when they are not known here.

        The numbers go onto the list, now or when they become known.
        """
        keys = self._keys
        numbers = await self._scripts.run(
            DNC_CONTACT,
            [*keys.of_campaign(campaign), keys.dnc, keys.pending_dnc(campaign)],
            [campaign, contact, why[:MAX_REASON_CHARS]],
        )
        return str(numbers).split()

    async def pending_dnc_reason(self, campaign: str, contact: str) -> str | None:
        """Why a contact whose numbers are not known here must not be called; None when it may be."""
        stored: Any = await self._scripts.client.hget(self._keys.pending_dnc(campaign), contact)
        return None if stored is None else str(stored).partition(" ")[2]

    async def remove(self, numbers: Sequence[Number]) -> None:
        """Takes numbers off the list: contacts loaded from now on may be called, final contacts stay final."""
        await self._scripts.client.hdel(self._keys.dnc, *(number.digits for number in numbers))

    async def remove_imported(self, numbers: Sequence[Number], why: str) -> int:
        """Takes off the numbers that are on the list for this reason alone; how many they were."""
        removed = 0
        for at in range(0, len(numbers), BATCH):
            digits = [number.digits for number in numbers[at : at + BATCH]]
            removed += int(await self._scripts.run(DNC_REMOVE_NUMBERS, [self._keys.dnc], [why, *digits]))
        return removed

    async def record_query(self, registry: str, asked_s: int, numbers: int) -> bool:
        """Notes that the registry was asked then; False when a newer query is known."""
        return bool(
            await self._scripts.run(
                DNC_RECORD_QUERY, [self._keys.server], [registry, asked_s * 1000, numbers]
            )
        )

    async def queries(self) -> list[RegistryQuery]:
        """The newest query of each registry that was ever asked, by name."""
        return await registry_queries(self._scripts.client, self._keys)

    async def on_dnc_list(self, numbers: Sequence[str]) -> bool:
        """Whether one of the numbers, in the form a record has, is on the list."""
        return any(await self._find(numbers))

    async def check(self, numbers: Sequence[Number]) -> list[DncEntry | None]:
        """Each number's entry on the list, in whatever spelling it is there; None for a number that is not on it."""
        return await self._find([str(number) for number in numbers])

    async def _find(self, numbers: Sequence[str]) -> list[DncEntry | None]:
        found: list[str] = []
        for at in range(0, len(numbers), BATCH):
            names = [self._keys.dnc, self._keys.server]
            found += await self._scripts.run(DNC_FIND_NUMBERS, names, numbers[at : at + BATCH])
        return [
            _entry(str(digits), str(value)) if value else None
            for digits, value in zip(found[::2], found[1::2], strict=True)
        ]

    async def entries(self) -> AsyncIterator[DncEntry]:
        """The whole list, in no order; numbers added or removed meanwhile may be missing or included."""
        async for digits, value in self._scripts.client.hscan_iter(self._keys.dnc, count=BATCH):
            yield _entry(str(digits), str(value))

    async def size(self) -> int:
        return int(await self._scripts.client.hlen(self._keys.dnc))

    async def country_of(self, campaign: str) -> str:
        """The country of the campaign's local numbers at its last load, '' when it is not known."""
        return str(await self._scripts.client.hget(self._keys.totals(campaign), "country") or "")


async def registry_queries(client: Redis, keys: Keys) -> list[RegistryQuery]:
    """The newest query of each registry that was ever asked, by name."""
    stored: Any = await client.hgetall(keys.server)
    queries = []
    for field in sorted(stored):
        if field.startswith(_REGISTRY):
            asked_ms, imported_ms, numbers = map(int, stored[field].split())
            queries.append(
                RegistryQuery(field.removeprefix(_REGISTRY), asked_ms // 1000, imported_ms // 1000, numbers)
            )
    return queries


def _entry(digits: str, value: str) -> DncEntry:
    since, _, why = value.partition(" ")
    return DncEntry(f"+{digits}" if since.startswith("+") else digits, int(since), why)
