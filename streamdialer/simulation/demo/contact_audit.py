"""Where every contact is in the end. A contact is lost when neither backend nor ledger will move it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import CONTACT_STATES, decode_contact, decode_update
from streamdialer.simulation.world.entities import Contact, Id

FINAL: Final = frozenset({"completed", "machine", "abandoned", "invalid", "do_not_call"})
ENDED: Final = FINAL | {"no_answer", "busy", "failed"}
"""Statuses in the backend of contacts that are not called any more; the last three once no retry is left."""

IN_ORDER: Final = ("ready", "deferred", "previewing", "reserved", "dialing", "orphaned", "connected")
"""States that are not final: of a contact in several lists, the last one tells most."""


class LedgerContacts(msgspec.Struct, frozen=True):
    """One campaign's contacts in the ledger, by id."""

    states: Mapping[str, tuple[str, ...]]
    """Every state a contact is in: there should be exactly one."""
    recorded: frozenset[str]
    dialing: frozenset[str]
    """Ids of the attempts that were sent, and are neither answered nor ended."""
    to_be_updated: frozenset[str]
    """The backend has not confirmed their state, and an entry of `updates` will bring it."""
    never_updated: frozenset[str]
    """The backend has not confirmed their state, and no entry will bring it."""
    kept_finished: frozenset[str] = frozenset()
    """Without a record, and not called again while the backend shows them as it did when it refused their end."""


class ContactAudit(msgspec.Struct):
    """All contacts, each counted once."""

    final: int = 0
    in_ledger: Counter[str] = msgspec.field(default_factory=Counter)
    """Contacts that are not final, by state."""
    not_loaded: int = 0
    """Pending in the backend, and not yet known to the ledger."""
    lost: list[str] = []
    """A sentence each."""


async def read_ledger(client: Redis, keys: Keys, campaign: str) -> LedgerContacts:
    """Raises redis.RedisError."""
    pipe = client.pipeline(transaction=True)
    for state in CONTACT_STATES:
        pipe.zrange(getattr(keys, state)(campaign), 0, -1)
    pipe.hgetall(keys.records(campaign))
    pipe.hgetall(keys.outbox(campaign))
    pipe.hkeys(keys.refused(campaign))
    pipe.xrange(keys.stream("updates"))
    answers: list[Any] = await pipe.execute()
    *members, records, outbox, refused, updates = answers
    states: dict[str, tuple[str, ...]] = {}
    for state, contacts in zip(CONTACT_STATES, members, strict=True):
        for contact in contacts:
            states[contact] = (*states.get(contact, ()), state)
    entries = {entry for entry, _ in updates}
    to_be_updated = {contact for contact, raw in outbox.items() if decode_update(raw).entry in entries}
    dialing = [
        decode_contact(records[contact]).history[-1].id
        for contact, its_states in states.items()
        if "dialing" in its_states and contact in records
    ]
    return LedgerContacts(
        states=states,
        recorded=frozenset(records),
        dialing=frozenset(dialing),
        to_be_updated=frozenset(to_be_updated),
        never_updated=frozenset(outbox.keys() - to_be_updated),
        kept_finished=frozenset(refused),
    )


def audit_contacts(
    contacts: Iterable[Contact], ledgers: Mapping[str, LedgerContacts], refused: Container[Id] = ()
) -> ContactAudit:
    """Compares what the backend shows of each contact with the ledgers of its campaigns.

    `refused`: contacts whose newest update the backend has refused. It shows an older status of these.
    """
    audit = ContactAudit()
    for contact in contacts:
        names = ", ".join(map(str, contact.campaign_ids))
        lists = [ledgers[str(campaign)] for campaign in contact.campaign_ids]
        state, why_lost = _audit(contact, lists, is_refused=contact.id in refused)
        if why_lost:
            audit.lost.append(f"contact {contact.id} of campaign {names}: {why_lost}")
        elif state == "final":
            audit.final += 1
        elif state == "not_loaded":
            audit.not_loaded += 1
        else:
            audit.in_ledger[state] += 1
    return audit


def _audit(contact: Contact, ledgers: Sequence[LedgerContacts], *, is_refused: bool) -> tuple[str, str]:
    """The contact's state, and why it is lost ('' when it is not)."""
    name = str(contact.id)
    shown = f"the backend shows {contact.status!r} after {contact.attempts} attempts"
    found: list[str] = []
    for ledger in ledgers:
        states = ledger.states.get(name, ())
        if len(states) > 1:
            return "", f"in several states: {', '.join(states)}; {shown}"
        if name in ledger.never_updated:
            return "", f"{shown}, its state is {states}, and no entry of `updates` will tell the backend"
        if not states and name in ledger.recorded:
            return "", f"it has a record and no state; {shown}"
        found += states
    if not found and any(name in ledger.kept_finished for ledger in ledgers):
        return "final", ""
    if not found:
        if contact.status == "pending" and (contact.attempts == 0 or is_refused):
            return "not_loaded", ""
        return ("final", "") if contact.status in FINAL else ("", f"the ledger does not know it; {shown}")
    if unfinished := [state for state in found if state != "final"]:
        return max(unfinished, key=IN_ORDER.index), ""
    if any(name in ledger.to_be_updated for ledger in ledgers):
        return "unconfirmed", ""
    is_shown = contact.status in ENDED or is_refused
    return ("final", "") if is_shown else ("", f"it is final in the ledger, and {shown}")
