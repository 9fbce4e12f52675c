"""Where every contact is in the end. A contact is lost when neither backend nor ledger would ever move it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import CONTACT_STATES, decode_contact, decode_update
from streamdialer.simulation import Contact

FINAL: Final = frozenset({"completed", "machine", "abandoned", "invalid", "do_not_call"})
ENDED: Final = FINAL | {"no_answer", "busy", "failed"}
"""What the backend shows of a contact that is not called any more; the last three once retries are used up."""


class LedgerContacts(msgspec.Struct, frozen=True):
    """One campaign's contacts in the ledger, by id."""

    states: Mapping[str, tuple[str, ...]]
    """Every place a contact is in: there should be exactly one."""
    recorded: frozenset[str]
    dialing: frozenset[str]
    """Ids of the attempts that were sent, and are neither answered nor ended."""
    told_later: frozenset[str]
    """The backend does not know their state, and an entry says that it is to be told."""
    never_told: frozenset[str]
    """The backend does not know their state, and nobody will tell it."""


class ContactAudit(msgspec.Struct):
    """All contacts, each counted once."""

    final: int = 0
    in_ledger: Counter[str] = msgspec.field(default_factory=Counter)
    """Contacts that are not final, by place."""
    not_loaded: int = 0
    """Pending in the backend, and never seen by the dialer."""
    lost: list[str] = []
    """In words."""


async def read_ledger(client: Redis, keys: Keys, campaign: str) -> LedgerContacts:
    """Raises redis.RedisError."""
    pipe = client.pipeline(transaction=True)
    for place in CONTACT_STATES:
        pipe.zrange(getattr(keys, place)(campaign), 0, -1)
    pipe.hgetall(keys.records(campaign))
    pipe.hgetall(keys.outbox(campaign))
    pipe.xrange(keys.stream("updates"))
    answers: list[Any] = await pipe.execute()
    *members, records, outbox, updates = answers
    places: dict[str, tuple[str, ...]] = {}
    for place, contacts in zip(CONTACT_STATES, members, strict=True):
        for contact in contacts:
            places[contact] = (*places.get(contact, ()), place)
    entries = {entry for entry, _ in updates}
    told_later = {contact for contact, raw in outbox.items() if decode_update(raw).entry in entries}
    unanswered = [
        decode_contact(records[contact]).history[-1].id
        for contact, where in places.items()
        if "dialing" in where and contact in records
    ]
    return LedgerContacts(
        states=places,
        recorded=frozenset(records),
        dialing=frozenset(unanswered),
        told_later=frozenset(told_later),
        never_told=frozenset(outbox.keys() - told_later),
    )


def audit_contacts(contacts: Iterable[Contact], ledgers: Mapping[str, LedgerContacts]) -> ContactAudit:
    """Judges what the backend shows of each contact against the ledger of its campaign."""
    found = ContactAudit()
    for contact in contacts:
        ledger = ledgers[str(contact.campaign_id)]
        place, why = _judge(contact, ledger)
        if why:
            found.lost.append(f"contact {contact.id} of campaign {contact.campaign_id}: {why}")
        elif place == "final":
            found.final += 1
        elif place == "not_loaded":
            found.not_loaded += 1
        else:
            found.in_ledger[place] += 1
    return found


def _judge(contact: Contact, ledger: LedgerContacts) -> tuple[str, str]:
    """Where the contact is, and why it is lost ('' when it is not)."""
    name = str(contact.id)
    places = ledger.states.get(name, ())
    shown = f"the backend shows {contact.status!r} after {contact.attempts} attempts"
    if len(places) > 1:
        return "", f"in several places: {', '.join(places)}; {shown}"
    if name in ledger.never_told:
        return "", f"{shown}, its place is {places}, and nothing will tell the backend"
    if not places:
        if name in ledger.recorded:
            return "", f"it has a record and no place; {shown}"
        if contact.status == "pending" and contact.attempts == 0:
            return "not_loaded", ""
        return ("final", "") if contact.status in FINAL else ("", f"the ledger does not know it; {shown}")
    place = places[0]
    if place != "final":
        return place, ""
    if name in ledger.told_later:
        return "untold", ""
    return ("final", "") if contact.status in ENDED else ("", f"it is finished in the ledger, and {shown}")
