"""The verdict on a run: what the telephone network saw against what ledger and backend have written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from bench.crash.fixtures import PLANTED, ServerFaults
from bench.crash.scenario import Fixture
from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import ContactRecord, decode_contact
from streamdialer.simulation import Audit
from streamdialer.simulation.demo.contact_audit import audit_contacts, read_ledger


class Verdict(msgspec.Struct, kw_only=True):
    """Figures of one run; `findings` says each wrongdoing in words."""

    calls: int = 0
    double_calls: int = 0
    """Calls to a phone that was up, with a key that had been placed, or to somebody who had been served."""
    lost_contacts: int = 0
    """Contacts neither ledger nor backend will move again, or that are not final when the run is over."""
    attempts_burned: int = 0
    """Contacts whose attempts in the ledger, in the backend and on the network are not the same."""
    uncertain: int = 0
    """Attempts marked as sent that never reached the network, and were ended as failed by their deadline."""
    findings: list[str] = []

    @property
    def is_clean(self) -> bool:
        return not (self.double_calls or self.lost_contacts or self.attempts_burned or self.findings)


async def judge_ledger(client: Redis, keys: Keys, cast: Fixture, servers: ServerFaults) -> Verdict:
    """Before the campaigns are cleaned up: contacts and attempts. Raises redis.RedisError."""
    verdict = Verdict()
    campaigns = [str(campaign) for campaign in cast.world.campaigns]
    ledgers = {campaign: await read_ledger(client, keys, campaign) for campaign in campaigns}
    reckoning = audit_contacts(cast.world.contacts.values(), ledgers)
    elsewhere = reckoning.not_loaded + reckoning.in_ledger.total()
    verdict.lost_contacts = len(reckoning.lost) + elsewhere
    verdict.findings += reckoning.lost
    if elsewhere:
        verdict.findings.append(f"not final: {dict(reckoning.in_ledger)}, not loaded: {reckoning.not_loaded}")
    for campaign in campaigns:
        stored: Any = await client.hgetall(keys.records(campaign))
        records = {contact: decode_contact(raw) for contact, raw in stored.items()}
        _judge_attempts(verdict, campaign, records, cast, servers.refused | cast.remembered)
    letters: Any = await client.xrange(keys.stream("dead"))
    reasons = Counter(str(fields["reason"]) for _, fields in letters)
    if reasons != PLANTED:
        verdict.findings.append(f"dead letters {dict(reasons)} instead of {dict(PLANTED)}")
    return verdict


def _judge_attempts(
    verdict: Verdict,
    campaign: str,
    records: Mapping[str, ContactRecord],
    cast: Fixture,
    without_call: set[str] | frozenset[str],
) -> None:
    """`without_call`: keys of attempts that rightly count although the network saw no call."""
    world = cast.world
    placed: dict[str, dict[str, int]] = {}
    for key, calls in world.auditor.per_key.items():
        placed.setdefault(key.split(":")[1], {})[key] = calls
    for contact in world.contacts_of(int(campaign)):
        name = str(contact.id)
        record = records.get(name)
        history, attempts = (record.history, record.attempts) if record else ([], 0)
        counted = {each.id: each for each in history if each.was_sent}
        seen = placed.get(name, {})
        silent = [each for key, each in counted.items() if key not in seen and key not in without_call]
        uncertain = [each for each in silent if each.facts.silent]
        verdict.uncertain += len(uncertain)
        known = cast.attempts_before.get(contact.id, 0) + len(counted)
        wrong = []
        if len(uncertain) < len(silent):
            wrong.append(f"attempts nobody saw and no deadline ended: {[each.id for each in silent]}")
        if missed := seen.keys() - counted.keys():
            wrong.append(f"calls the ledger does not count: {sorted(missed)}")
        if sum(seen.values()) > len(seen):
            wrong.append(f"{sum(seen.values())} calls of {len(seen)} attempts")
        if attempts != known:
            wrong.append(f"the ledger says {attempts} attempts and remembers {known}")
        if contact.attempts != attempts:
            wrong.append(f"the backend says {contact.attempts} attempts, the ledger {attempts}")
        if wrong:
            verdict.attempts_burned += 1
            verdict.findings.append(f"contact {name}: {'; '.join(wrong)}")


def judge_network(verdict: Verdict, audit: Audit) -> None:
    """At the very end: what the auditor of the telephone network has to say."""
    verdict.calls = audit.total.originates
    verdict.double_calls = audit.double_dials + audit.dialed_after_final
    verdict.findings += audit.findings
    if audit.over_max_retries and not verdict.double_calls:
        verdict.findings.append(f"{audit.over_max_retries} contacts were called more often than allowed")
    if audit.live_calls:
        verdict.findings.append(f"{audit.live_calls} phones are up")
