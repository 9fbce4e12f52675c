"""The final figures: ledger, public counters and dead letters compared with the auditor's counts."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from bench.chaos.environment import Environment
from bench.chaos.faults import Forgets
from bench.chaos.faults.events import MARK
from bench.chaos.verdicts import Counter
from bench.public_counters import expected_counters
from streamdialer.ledger.records import Attempt, decode_contact
from streamdialer.model import wire_id
from streamdialer.simulation.demo.contact_audit import LedgerContacts, audit_contacts, read_ledger
from streamdialer.simulation.world.entities import Contact, Id

LEFT_THE_LEDGER: Final = ("final_contact", "unknown_contact")
"""Reasons of late and repeated events of contacts that the backend has ended."""
RETRIED: Final = frozenset({"no_answer", "busy", "failed"})
"""Dispositions after which another attempt is made while some are left."""
RETRY_LISTED: Final = frozenset({"pending", "no_answer", "busy"})
"""Contacts with these statuses in the backend are loaded again when the ledger does not know them."""


class ContactCounts(msgspec.Struct):
    """The contacts by where they ended."""

    final: int = 0
    lost: list[str] = []
    retries_forgotten: list[str] = []
    uncertain: int = 0
    unresolved: list[str] = []


class CampaignEnd(msgspec.Struct, frozen=True):
    """One campaign at the end of the run."""

    view: LedgerContacts
    attempts: list[Attempt]
    present: frozenset[str]
    """Attempts of contacts that the ledger still has; of the others it is not known how they went on."""
    newest: dict[str, Attempt | None]
    public: Mapping[str, str]


async def read_ends(environment: Environment) -> dict[str, CampaignEnd]:
    """All campaigns, by id; raises RedisError."""
    keys, client = environment.centre.keys, environment.client
    ends = {}
    for campaign in map(str, environment.centre.world.campaigns):
        stored: Any = await client.hgetall(keys.records(campaign))
        records = {contact: decode_contact(raw) for contact, raw in stored.items()}
        public: Any = await client.hgetall(keys.campaign(campaign))
        ends[campaign] = CampaignEnd(
            view=await read_ledger(client, keys, campaign),
            attempts=list(
                {
                    **environment.remembered_attempts[campaign],
                    **{attempt.id: attempt for record in records.values() for attempt in record.history},
                }.values()
            ),
            present=frozenset(attempt.id for record in records.values() for attempt in record.history),
            newest={contact: record.newest for contact, record in records.items()},
            public=public,
        )
    return ends


def compare_counters(
    environment: Environment, ends: Mapping[str, CampaignEnd], forgot: Forgets
) -> list[Counter]:
    """Every public counter of every campaign, with the auditor's count."""
    auditor = environment.centre.world.auditor
    compared = []
    for campaign, end in ends.items():
        counts = auditor.campaigns[int(campaign)]
        unplaced = [
            attempt for attempt in end.attempts if attempt.was_sent and attempt.id not in auditor.per_key
        ]
        unseen = [attempt for attempt in unplaced if _ended_unseen(attempt, end)]
        unheard = [
            attempt
            for attempt in end.attempts
            if forgot != "nothing" and _failed_by_deadline(attempt) and attempt.id in auditor.per_key
        ]
        unseen_answers = sum(map(_lacks_its_answer, end.attempts))
        for field, expected in expected_counters(counts).items():
            public = int(end.public.get(field, 0))
            missing = sum(_counts_in(attempt, field) for attempt in unplaced if attempt not in unseen)
            silent = {"failed": len(unheard), "answered_calls": -unseen_answers}.get(field, 0)
            unknown = len(unseen) if field in ("total_calls", "failed") else 0
            compared.append(Counter(campaign, field, public, expected, missing, silent, unknown))
    return compared


def _failed_by_deadline(attempt: Attempt) -> bool:
    """Ended as failed because no event came."""
    is_silent = bool(attempt.facts.silent) or attempt.facts.missing_at_ms is not None
    return is_silent and attempt.disposition == "failed"


def _ended_unseen(attempt: Attempt, end: CampaignEnd) -> bool:
    """Up when last seen, before its contact left the ledger: it was taken back, or it counts as failed."""
    return attempt.state != "ended" and attempt.id not in end.present


def _lacks_its_answer(attempt: Attempt) -> bool:
    """The event source has seen only how the call ended."""
    return attempt.disposition in ("completed", "machine") and not attempt.facts.answered


def _counts_in(attempt: Attempt, field: str) -> bool:
    if field == "total_calls":
        return True
    if field == "active_calls":
        return attempt.state in ("sent", "ringing")
    return attempt.state == "ended" and attempt.disposition == field


def count_contacts(
    environment: Environment, ends: Mapping[str, CampaignEnd], forgot: Forgets
) -> ContactCounts:
    views = {campaign: end.view for campaign, end in ends.items()}
    placed = environment.centre.world.auditor.per_key
    counts = ContactCounts()
    for contact in environment.centre.world.contacts.values():
        audit = audit_contacts([contact], views, environment.centre.backend.newest_update_refused)
        counts.final += audit.final
        if audit.final and _misses_retries(contact, environment, forgot):
            counts.retries_forgotten.append(_describe_end(contact, ends))
        lists = [ends[str(campaign)] for campaign in contact.campaign_ids]
        if audit.lost and not (forgot != "nothing" and _is_excused(contact, lists, environment, counts)):
            counts.lost += audit.lost
        state = next(iter(audit.in_ledger), "")
        name = str(contact.id)
        attempt = next(
            (end.newest.get(name) for end in lists if state in end.view.states.get(name, ())), None
        )
        if state not in ("dialing", "connected", "orphaned") or attempt is None:
            continue
        if attempt.id in placed and not attempt.is_remembered and state != "orphaned":
            counts.unresolved.append(f"contact {contact.id} is {state}, but call {attempt.id} is over")
        else:
            counts.uncertain += 1
    return counts


def _misses_retries(contact: Contact, environment: Environment, forgot: Forgets) -> bool:
    """Whether the contact has attempts left that will never be made. A backend that refused an update shows too few.

    After a data loss, a contact that the backend shows as no_answer or busy is loaded from its list again.
    """
    max_retries = environment.centre.world.campaigns[contact.campaign_id].max_retries
    if contact.id in environment.centre.backend.newest_update_refused:
        return False
    comes_back = forgot != "nothing" and contact.status in RETRY_LISTED
    return contact.status in RETRIED and contact.attempts < max_retries and not comes_back


def _describe_end(contact: Contact, ends: Mapping[str, CampaignEnd]) -> str:
    name = str(contact.id)
    known = [
        f"campaign {campaign} has it as {', '.join(end.view.states[name])}"
        for campaign, end in ends.items()
        if name in end.view.states
    ]
    return f"contact {contact.id} is {contact.status} after {contact.attempts} attempts; " + (
        "; ".join(known) or "the ledger does not know it"
    )


def _is_excused(
    contact: Contact, lists: Sequence[CampaignEnd], environment: Environment, counts: ContactCounts
) -> bool:
    """Whether a contact that Redis has lost is loaded from the backend's lists again, or is final in the backend."""
    name = str(contact.id)
    if any(end.view.states.get(name) or name in end.view.recorded for end in lists):
        return False
    max_retries = environment.centre.world.campaigns[contact.campaign_id].max_retries
    if contact.status in RETRIED and (contact.attempts >= max_retries or contact.status == "failed"):
        counts.final += 1
        if _misses_retries(contact, environment, forgot="a second"):
            counts.retries_forgotten.append(_describe_end(contact, {}))
        return True
    return contact.status in RETRY_LISTED


async def count_dead_letters(environment: Environment) -> tuple[dict[str, int], list[str]]:
    """Dead letters by reason, and those not caused by our malformed entries, in words; raises RedisError."""
    letters: Any = await environment.client.xrange(environment.centre.keys.stream("dead"))
    reasons = Counted(fields["reason"] for _, fields in letters)
    refused = environment.centre.backend.updates_refused
    unexplained = [
        f"{fields['reason']}: {fields['detail'][:120]} ({fields.get('=type') or fields['stream']})"
        for _, fields in letters
        if f"={MARK}" not in fields
        and not (fields["reason"] == "refused_by_backend" and wire_id(fields["=contact"]) in refused)
        and not (fields["reason"] in LEFT_THE_LEDGER and _contact_of(fields) in environment.ended_contacts)
    ]
    return dict(sorted(reasons.items())), unexplained


def _contact_of(letter: Mapping[str, str]) -> Id:
    """The contact of a call event."""
    contact: Id = msgspec.json.decode(letter["=data"])["contact_id"]
    return contact
