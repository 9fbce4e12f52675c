"""The verdict on a run: compares what the telephone network saw with the ledger and the backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from bench.crash.fixtures import EXPECTED_DEAD_LETTERS, ServerFaults
from bench.crash.scenario import Fixture
from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.simulation.demo.contact_audit import audit_contacts, read_ledger
from streamdialer.simulation.world.auditor import Audit


class Verdict(msgspec.Struct, kw_only=True):
    """The figures of one run; `findings` has each violation in words."""

    calls: int = 0
    double_calls: int = 0
    """Calls to a phone with a live call, with a used key, or to a contact with a final result."""
    lost_contacts: int = 0
    """Contacts that neither ledger nor backend will call again, or that are not final at the end of the run."""
    attempt_mismatches: int = 0
    """Contacts whose attempts differ between ledger, backend and network."""
    uncertain: int = 0
    """Attempts marked as sent that never reached the network and were ended as failed by their deadline."""
    findings: list[str] = []

    @property
    def is_clean(self) -> bool:
        return not (self.double_calls or self.lost_contacts or self.attempt_mismatches or self.findings)


async def check_ledger(client: Redis, keys: Keys, fixture: Fixture, servers: ServerFaults) -> Verdict:
    """Checks contacts and attempts, before the campaigns are cleaned up. Raises redis.RedisError."""
    verdict = Verdict()
    campaigns = [str(campaign) for campaign in fixture.world.campaigns]
    ledgers = {campaign: await read_ledger(client, keys, campaign) for campaign in campaigns}
    audit = audit_contacts(fixture.world.contacts.values(), ledgers)
    elsewhere = audit.not_loaded + audit.in_ledger.total()
    verdict.lost_contacts = len(audit.lost) + elsewhere
    verdict.findings += audit.lost
    if elsewhere:
        verdict.findings.append(f"not final: {dict(audit.in_ledger)}, not loaded: {audit.not_loaded}")
    for campaign in campaigns:
        stored: Any = await client.hgetall(keys.records(campaign))
        records = {contact: decode_contact(raw) for contact, raw in stored.items()}
        _check_attempts(verdict, campaign, records, fixture, servers.refused | fixture.remembered)
    letters: Any = await client.xrange(keys.stream("dead"))
    reasons = Counter(str(fields["reason"]) for _, fields in letters)
    if reasons != EXPECTED_DEAD_LETTERS:
        verdict.findings.append(f"dead letters {dict(reasons)} instead of {dict(EXPECTED_DEAD_LETTERS)}")
    return verdict


def _check_attempts(
    verdict: Verdict,
    campaign: str,
    records: Mapping[str, ContactRecord],
    fixture: Fixture,
    without_call: set[str] | frozenset[str],
) -> None:
    """`without_call`: attempts that count although the network saw no call, with or without the mark at their end."""
    world = fixture.world
    placed: dict[str, dict[str, int]] = {}
    for key, times in world.auditor.per_key.items():
        placed.setdefault(key.split(":")[1], {})[key] = times
    for contact in world.contacts_of(int(campaign)):
        name = str(contact.id)
        record = records.get(name)
        history, attempts = (record.history, record.attempts) if record else ([], 0)
        counted = {attempt.id: attempt for attempt in history if attempt.was_sent}
        calls = placed.get(name, {})
        silent = [
            attempt
            for key, attempt in counted.items()
            if key not in calls and not without_call.intersection((key, key.rpartition(":")[0]))
        ]
        uncertain = [attempt for attempt in silent if attempt.facts.silent]
        verdict.uncertain += len(uncertain)
        expected = fixture.attempts_before.get(contact.id, 0) + len(counted)
        mismatches = []
        if len(uncertain) < len(silent):
            ids = [attempt.id for attempt in silent]
            mismatches.append(f"attempts without a call that no deadline ended: {ids}")
        if uncounted := calls.keys() - counted.keys():
            mismatches.append(f"calls the ledger does not count: {sorted(uncounted)}")
        if sum(calls.values()) > len(calls):
            mismatches.append(f"{sum(calls.values())} calls of {len(calls)} attempts")
        if attempts != expected:
            mismatches.append(f"the ledger counts {attempts} attempts and has {expected} on record")
        if contact.attempts != attempts:
            mismatches.append(f"the backend has {contact.attempts} attempts, the ledger {attempts}")
        if mismatches:
            verdict.attempt_mismatches += 1
            verdict.findings.append(f"contact {name}: {'; '.join(mismatches)}")


def check_network(verdict: Verdict, audit: Audit) -> None:
    """Adds the figures of the telephone network's auditor, at the end of the run."""
    verdict.calls = audit.total.originates
    verdict.double_calls = audit.double_dials + audit.dialed_after_final
    verdict.findings += audit.findings
    if audit.over_max_retries and not verdict.double_calls:
        verdict.findings.append(f"{audit.over_max_retries} contacts were called more often than allowed")
    if audit.live_calls:
        verdict.findings.append(f"{audit.live_calls} calls are live")
