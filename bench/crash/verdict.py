"""The verdict on a run: compares what the telephone network saw with the ledger and the backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from bench.crash.fixtures import EXPECTED_DEAD_LETTERS, ServerFaults
from bench.crash.scenario import Fixture
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.simulation.demo.contact_audit import ContactAudit, audit_contacts, read_ledger
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.world.auditor import Audit
from streamdialer.simulation.world.entities import Id


class Verdict(msgspec.Struct, kw_only=True):
    """The figures of one run; `findings` has each violation in words."""

    calls: int = 0
    double_calls: int = 0
    """Calls to a phone with a live call, with a used key, or to a contact with a final result."""
    lost_contacts: int = 0
    """Contacts that neither ledger nor backend will call again, or that are not final at the end of the run."""
    attempt_mismatches: int = 0
    """Contacts whose attempts differ between ledger, backend and network."""
    calls_without_agent: int = 0
    """Progressive calls placed while all unanswered ones were more than the free agents who could take them."""
    uncertain: int = 0
    """Attempts marked as sent that never reached the network and were ended as failed by their deadline."""
    findings: list[str] = []

    @property
    def is_clean(self) -> bool:
        return not (self.double_calls or self.lost_contacts or self.attempt_mismatches or self.findings)


async def audit_all_contacts(client: Redis, centre: CallCentre, fixture: Fixture) -> ContactAudit:
    """Raises redis.RedisError."""
    campaigns = [str(campaign) for campaign in fixture.world.campaigns]
    ledgers = {campaign: await read_ledger(client, centre.keys, campaign) for campaign in campaigns}
    return audit_contacts(fixture.world.contacts.values(), ledgers, centre.backend.newest_update_refused)


async def check_ledger(
    client: Redis,
    centre: CallCentre,
    fixture: Fixture,
    servers: ServerFaults,
    *,
    kept: Mapping[str, ContactRecord],
) -> Verdict:
    """Checks contacts and attempts, before the campaigns are cleaned up. Raises redis.RedisError.

    `kept`: the last records of contacts that the ledger has forgotten since.
    """
    verdict, keys = Verdict(), centre.keys
    audit = await audit_all_contacts(client, centre, fixture)
    elsewhere = audit.not_loaded + audit.in_ledger.total()
    verdict.lost_contacts = len(audit.lost) + elsewhere
    verdict.findings += audit.lost
    if elsewhere:
        verdict.findings.append(f"not final: {dict(audit.in_ledger)}, not loaded: {audit.not_loaded}")
    not_taken = centre.backend.updates_refused
    for campaign in map(str, fixture.world.campaigns):
        stored: Any = await client.hgetall(keys.records(campaign))
        records = {**kept, **{contact: decode_contact(raw) for contact, raw in stored.items()}}
        without_call = servers.refused | fixture.remembered
        check_attempts(verdict, campaign, records, fixture, without_call, not_taken)
    letters: Any = await client.xrange(keys.stream("dead"))
    reasons = Counter(
        str(fields["reason"])
        for _, fields in letters
        if fields["reason"] != "refused_by_backend" or int(fields["=contact"]) not in not_taken
    )
    if reasons != EXPECTED_DEAD_LETTERS:
        verdict.findings.append(f"dead letters {dict(reasons)} instead of {dict(EXPECTED_DEAD_LETTERS)}")
    return verdict


def check_attempts(
    verdict: Verdict,
    campaign: str,
    records: Mapping[str, ContactRecord],
    fixture: Fixture,
    without_call: set[str] | frozenset[str],
    not_taken: Container[Id],
) -> None:
    """`without_call`: attempts that count although the network saw no call, with or without the mark at their end.

    `not_taken`: contacts whose updates the backend refuses.
    """
    world = fixture.world
    placed: dict[str, dict[str, int]] = {}
    for key, times in world.auditor.per_key.items():
        of_campaign, contact_name, *_ = key.split(":")
        if of_campaign == campaign:
            placed.setdefault(contact_name, {})[key] = times
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
        # a rebuild may have read how a remembered attempt ended from the backend, and that has its number only
        on_record = {key.rpartition(":")[0] for key in counted}
        unrecorded = {key for key in fixture.remembered - on_record if key.startswith(f"{campaign}:{name}:")}
        expected = fixture.attempts_before.get(contact.id, 0) + len(counted) + len(unrecorded)
        mismatches = []
        if len(uncertain) < len(silent):
            ids = [attempt.id for attempt in silent]
            mismatches.append(f"attempts without a call that no deadline ended: {ids}")
        if uncounted := calls.keys() - counted.keys():
            mismatches.append(f"calls the ledger does not count: {sorted(uncounted)}")
        if sum(calls.values()) > len(calls):
            mismatches.append(f"{sum(calls.values())} calls of {len(calls)} attempts")
        if attempts != expected and not contact.also_in:  # other lists have called it before it was loaded
            mismatches.append(f"the ledger counts {attempts} attempts, and {expected} are known")
        if contact.attempts != attempts and contact.id not in not_taken and not contact.also_in:
            mismatches.append(f"the backend has {contact.attempts} attempts, the ledger {attempts}")
        if mismatches:
            verdict.attempt_mismatches += 1
            verdict.findings.append(f"contact {name}: {'; '.join(mismatches)}")


def check_network(verdict: Verdict, audit: Audit) -> None:
    """Adds the figures of the telephone network's auditor, at the end of the run."""
    verdict.calls = audit.total.originates
    verdict.double_calls = audit.double_dials + audit.dialed_after_final
    verdict.calls_without_agent = audit.calls_without_agent
    verdict.findings += audit.findings
    if audit.over_max_retries and not verdict.double_calls:
        verdict.findings.append(f"{audit.over_max_retries} contacts were called more often than allowed")
    if audit.live_calls:
        verdict.findings.append(f"{audit.live_calls} calls are live")
