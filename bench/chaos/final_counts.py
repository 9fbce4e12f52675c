"""The final figures: the ledger, the public counters and the dead letters held against the auditor."""

from __future__ import annotations

from collections import Counter as Tallied
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bench.chaos.environment import Environment
from bench.chaos.faults import Forgets
from bench.chaos.faults.events import MARK
from bench.chaos.verdicts import Counter
from streamdialer.ledger.records import Attempt, decode_contact
from streamdialer.simulation import CallCounts, Contact
from streamdialer.simulation.demo.contact_audit import LedgerContacts, audit_contacts, read_ledger

UP: Final = frozenset({"sent", "ringing", "answered", "orphaned"})
RETRIED: Final = frozenset({"no_answer", "busy", "failed"})
"""Ends of a call after which another attempt is made while some are left."""
RETRY_LISTED: Final = frozenset({"pending", "no_answer", "busy"})
"""What the backend shows of contacts that are loaded again when the ledger does not know them."""


class ContactCounts(msgspec.Struct):
    """Where the contacts are."""

    final: int = 0
    lost: list[str] = []
    retries_forgotten: int = 0
    uncertain: int = 0
    unresolved: list[str] = []


class LedgerEnd(msgspec.Struct, frozen=True):
    """One campaign in the end."""

    view: LedgerContacts
    attempts: list[Attempt]
    newest: dict[str, Attempt | None]
    public: Mapping[str, str]


async def read_end(scene: Environment) -> dict[str, LedgerEnd]:
    """All campaigns by id; raises RedisError."""
    keys, client = scene.centre.keys, scene.client
    ends = {}
    for campaign in map(str, scene.centre.world.campaigns):
        stored: Any = await client.hgetall(keys.records(campaign))
        records = {contact: decode_contact(raw) for contact, raw in stored.items()}
        public: Any = await client.hgetall(keys.campaign(campaign))
        ends[campaign] = LedgerEnd(
            view=await read_ledger(client, keys, campaign),
            attempts=[attempt for record in records.values() for attempt in record.history],
            newest={contact: record.newest for contact, record in records.items()},
            public=public,
        )
    return ends


def counters(scene: Environment, ends: Mapping[str, LedgerEnd], forgot: Forgets) -> list[Counter]:
    """Every public counter of every campaign."""
    auditor = scene.centre.world.auditor
    found = []
    for campaign, end in ends.items():
        tally = auditor.campaigns[int(campaign)]
        unplaced = [
            attempt for attempt in end.attempts if attempt.was_sent and attempt.id not in auditor.per_key
        ]
        unheard = [
            attempt
            for attempt in end.attempts
            if forgot != "nothing" and _failed_by_silence(attempt) and attempt.id in auditor.per_key
        ]
        for field, expected in expected_counters(tally).items():
            public = int(end.public.get(field, 0))
            missing = sum(_counts_in(attempt, field) for attempt in unplaced)
            silent = len(unheard) if field == "failed" else 0
            found.append(Counter(campaign, field, public, expected, missing, silent))
    return found


def expected_counters(tally: CallCounts) -> dict[str, int]:
    """What `campaign:{id}` should say when every call is over."""
    return {
        "total_calls": tally.originates,
        "answered_calls": tally.answered + tally.machine,
        "abandoned": tally.abandoned,
        "machine": tally.machine,
        "busy": tally.busy,
        "no_answer": tally.no_answer,
        "failed": tally.failed,
        "active_calls": 0,
        "connected_calls": 0,
    }


def _failed_by_silence(attempt: Attempt) -> bool:
    return bool(attempt.facts.silent) and attempt.disposition == "failed"


def _counts_in(attempt: Attempt, field: str) -> bool:
    if field == "total_calls":
        return True
    if field == "active_calls":
        return attempt.state in ("sent", "ringing")
    return attempt.state == "ended" and attempt.disposition == field


def whereabouts(scene: Environment, ends: Mapping[str, LedgerEnd], forgot: Forgets) -> ContactCounts:
    """Judges every contact, each once."""
    views = {campaign: end.view for campaign, end in ends.items()}
    placed = scene.centre.world.auditor.per_key
    found = ContactCounts()
    for contact in scene.centre.world.contacts.values():
        end = ends[str(contact.campaign_id)]
        reckoning = audit_contacts([contact], views)
        found.final += reckoning.final
        found.retries_forgotten += bool(reckoning.final) and _is_given_up(contact, scene, forgot)
        if reckoning.lost and not (forgot != "nothing" and _is_forgiven(contact, end, scene, found)):
            found.lost += reckoning.lost
        place = next(iter(reckoning.in_ledger), "")
        attempt = end.newest.get(str(contact.id))
        if place not in ("dialing", "connected", "orphaned") or attempt is None:
            continue
        if attempt.id in placed and not attempt.is_remembered and place != "orphaned":
            found.unresolved.append(f"contact {contact.id} is {place}, and call {attempt.id} is over")
        else:
            found.uncertain += 1
    return found


def _is_given_up(contact: Contact, scene: Environment, forgot: Forgets) -> bool:
    """Whether the contact has attempts left that nobody will make.

    What the backend shows as no_answer or busy comes back from its list once a forgetful ledger's tombstone is gone.
    """
    most = scene.centre.world.campaigns[contact.campaign_id].max_retries
    comes_back = forgot != "nothing" and contact.status in RETRY_LISTED
    return contact.status in RETRIED and contact.attempts < most and not comes_back


def _is_forgiven(contact: Contact, end: LedgerEnd, scene: Environment, found: ContactCounts) -> bool:
    """Whether a contact Redis has forgotten comes back from the backend's lists, or shows an end of its own."""
    if end.view.states.get(str(contact.id)) or str(contact.id) in end.view.recorded:
        return False
    most = scene.centre.world.campaigns[contact.campaign_id].max_retries
    if contact.status in RETRIED and (contact.attempts >= most or contact.status == "failed"):
        found.final += 1
        found.retries_forgotten += _is_given_up(contact, scene, forgot="a second")
        return True
    return contact.status in RETRY_LISTED


async def dead_letters(scene: Environment) -> tuple[dict[str, int], list[str]]:
    """By reason, and those that are not our malformed entries, in words; raises RedisError."""
    letters: Any = await scene.client.xrange(scene.centre.keys.stream("dead"))
    reasons = Tallied(fields["reason"] for _, fields in letters)
    unexplained = [
        f"{fields['reason']}: {fields['detail'][:120]} ({fields.get('=type') or fields['stream']})"
        for _, fields in letters
        if f"={MARK}" not in fields
    ]
    return dict(sorted(reasons.items())), unexplained
