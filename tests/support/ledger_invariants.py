"""What must be true of the ledger at every moment: one reading, one list of violations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from redis.asyncio import Redis

from streamdialer.broker.keys import Keys
from streamdialer.ledger.records import Attempt, ContactRecord, ContactState
from tests.support.attempt_model import CONTACT_STATE_OF_LIVE, LIVE, counts, outcome_of
from tests.support.ledger_reader import DEADLINES, CampaignView, LedgerView, known_facts, read_ledger

TOTALS: Final = ("total_calls", "answered_calls", "no_answer", "busy", "failed", "abandoned", "machine")
CARDINALITIES: Final[Mapping[str, ContactState]] = {
    "active_calls": "dialing",
    "connected_calls": "connected",
    "ready_contacts": "ready",
    "waiting_contacts": "deferred",
}
DEFERRED_BY_RULE: Final = frozenset(
    {
        "window_closed",
        "cap_attempts",
        "cap_conversations",
        "min_gap",
        "abandon_cooloff",
        "machine_cooloff",
        "in_call",
    }
)
"""Reasons for which a ready contact waits; to the backend it stays pending."""
LATEST_MS: Final = 1001
"""After the instant of the check: stalled deadlines are checked again every second."""


async def check_ledger(
    client: Redis,
    keys: Keys,
    campaigns: Iterable[str],
    queues: Iterable[str] = (),
    *,
    past: Mapping[str, Mapping[str, int]] | None = None,
    with_outcomes: bool = True,
) -> LedgerView:
    """The ledger as it is; raises AssertionError that names everything wrong with it.

    `past` says, per campaign, what attempts no longer held in records have added to the totals; without it the totals
    may be larger than what the records show, never smaller.
    """
    view = await read_ledger(client, keys, campaigns, queues, with_outcomes=with_outcomes)
    wrong = list(violations(view, past))
    assert not wrong, "\n".join(wrong)
    return view


def violations(view: LedgerView, past: Mapping[str, Mapping[str, int]] | None = None) -> Iterator[str]:
    """Everything wrong with the ledger, a sentence each."""
    for name, campaign in view.campaigns.items():
        where = f"campaign {name}: "
        for check in (_places, _records, _documents):
            yield from (where + wrong for wrong in check(campaign))
        yield from (
            where + wrong for wrong in _numbers(campaign, None if past is None else past.get(name, {}))
        )
        yield from (where + wrong for wrong in _due(view, name, campaign))
        for contact, document in campaign.outbox.items():
            if view.updates.get(document.entry) != (name, contact):
                yield f"{where}the backend does not know all of {contact}, and no entry of `updates` says so"
    yield from _numbers_held(view)
    yield from _agents(view)
    if view.outcomes is not None:
        yield from _outcomes(view, view.outcomes)
    for queue, agents in view.queues.items():
        if twice := agents.free & agents.busy:
            yield f"queue {queue}: free and busy at once: {sorted(twice)}"
        for campaign_id in agents.campaigns:
            if view.queue_of.get(campaign_id) != queue:
                yield f"queue {queue} counts campaign {campaign_id}, which is in {view.queue_of.get(campaign_id)}"


def _numbers_held(view: LedgerView) -> Iterator[str]:
    """A number is held by the contacts that may be in a call to it, and by no others."""
    held: dict[str, set[str]] = {}
    for name, campaign in view.campaigns.items():
        for contact, record in campaign.records.items():
            if record.numbers_held and record.state not in CONTACT_STATE_OF_LIVE.values():
                yield f"campaign {name}: {contact} is in {record.state} and holds {record.numbers_held}"
            for number in record.numbers_held:
                held.setdefault(number, set()).add(f"{name}:{contact}")
    for number in held.keys() | view.calls_up.keys():
        holders = {name for name in view.calls_up.get(number, ()) if name.split(":")[0] in view.campaigns}
        if held.get(number, set()) != holders:
            yield f"number {number} is held by {held.get(number)}, calls_up says {holders}"


def _agents(view: LedgerView) -> Iterator[str]:
    """An agent's state is one, in all their queues, and who has a call that is up is not free."""
    for queue, agents in view.queues.items():
        for agent in agents.free | agents.busy:
            record = view.agents.get(agent)
            if record is None or queue not in record.queues:
                yield f"queue {queue}: agent {agent} is in it, the record says {record}"
            elif (record.state == "available") != (agent in agents.free):
                yield f"queue {queue}: agent {agent} is in the wrong set, the record says {record}"
    calls = {record.call: agent for agent, record in view.agents.items() if record.call}
    if calls != view.agent_calls:
        yield f"calls of agents: {view.agent_calls}, their records say {calls}"
    for agent, record in view.agents.items():
        here = {queue: view.queues[queue] for queue in record.queues if queue in view.queues}
        if missing := [queue for queue, agents in here.items() if agent not in agents.free | agents.busy]:
            yield f"agent {agent} is missing in {missing}"
        if record.call and record.state != "busy":
            yield f"agent {agent} has a call and is {record.state}"


def _outcomes(view: LedgerView, outcomes: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Other programs know how every attempt ended, and nothing else; no entry repeats the one before it."""
    for name, entries in outcomes.items():
        if any(entry == following for entry, following in pairwise(entries)):
            yield f"attempt {name}: two outcomes say the same: {entries}"
    for campaign in view.campaigns.values():
        for record in campaign.records.values():
            for attempt in record.history:
                said = outcomes.get(attempt.id, [])
                if attempt.state == "ended" and not said:
                    yield f"attempt {attempt.id} has ended as {attempt.disposition}, and no outcome says so"
                elif attempt.state == "ended" and said[-1]["disposition"] != attempt.disposition:
                    yield f"attempt {attempt.id} has ended as {attempt.disposition}, its outcome says {said[-1]}"
                elif attempt.state != "ended" and said and attempt.outcome_mark is None:
                    yield f"attempt {attempt.id} is {attempt.state}, its outcome says {said[-1]}"


def _places(campaign: CampaignView) -> Iterator[str]:
    """Every contact is in exactly one place, and its record says in which."""
    found: dict[str, list[str]] = {}
    for place, contacts in campaign.states.items():
        for contact in contacts:
            found.setdefault(contact, []).append(place)
    if set(found) != set(campaign.records):
        yield f"records and places differ in {sorted(set(found) ^ set(campaign.records))}"
    for contact, record in campaign.records.items():
        if found.get(contact) != [record.state]:
            yield f"{contact} is in {found.get(contact)}, its record says {record.state}"
        if record.state != "final" and contact not in campaign.calls_kept and not _is_remembered(record):
            yield f"{contact} is to be called or being called, and its number is forgotten"
    if nameless := campaign.calls_kept - set(campaign.records):
        yield f"numbers of contacts without a record: {sorted(nameless)}"


def _is_owed(record: ContactRecord) -> bool:
    """The contact waits for a callback that no call has been placed for."""
    asked = record.callback
    if record.state != "deferred" or asked is None or asked.was_placed:
        return False
    return asked.entry not in [
        a.callback_entry for a in record.history if a.state not in ("reserved", "released")
    ]


def _is_remembered(record: ContactRecord) -> bool:
    return bool(record.history) and record.history[-1].token == "remembered"


def _records(campaign: CampaignView) -> Iterator[str]:
    """At most one live attempt, never more attempts than allowed, each as its facts say."""
    for contact, record in campaign.records.items():
        history = record.history
        last = history[-1] if history else None
        place = CONTACT_STATE_OF_LIVE.get(last.state) if last else None
        if record.is_suppressed and record.state in ("ready", "previewing", "deferred", "reserved"):
            yield f"{contact} is in {record.state} and must not be called"
        if place is not None and record.state != place:
            yield f"{contact} is in {record.state} while its newest attempt is {last and last.state}"
        if place is None and record.state in CONTACT_STATE_OF_LIVE.values():
            yield f"{contact} is in {record.state} without a live attempt"
        never = last and last.disposition in ("completed", "do_not_call", "callback")
        if record.state == "deferred" and last and never and not _is_owed(record):
            yield f"{contact} waits for another attempt after {last.disposition}, number {last.number}"
        calls = [attempt for attempt in history if attempt.state not in ("reserved", "released")]
        numbers = [attempt.number for attempt in calls]
        if numbers != sorted(set(numbers)):
            yield f"{contact}: attempts are numbered {numbers}"
        if len({attempt.token for attempt in history}) != len(history):
            yield f"{contact}: two attempts share a reservation"
        is_sent = last is not None and last.state not in ("reserved", "released")
        # What ended without an event may become live again by an event that comes after the next was sent.
        ended_unseen = [a for a in history[:-1] if a.facts.silent or a.facts.missing_at_ms]
        live = [a for a in history[:-1] if a.state in LIVE and not (is_sent and a in ended_unseen)]
        if live:
            yield f"{contact}: attempt {live[0].id} is {live[0].state}, and a later one exists"
        for attempt in history:
            yield from (f"{contact}: {wrong}" for wrong in _attempt(attempt, attempt is last))
        if calls and record.attempts != calls[-1].past.counted + (not calls[-1].is_uncounted):
            yield f"{contact}: {record.attempts} attempts count, the newest says otherwise: {calls[-1]}"


def _attempt(attempt: Attempt, is_newest: bool) -> Iterator[str]:
    if attempt.number <= attempt.past.counted:
        yield f"attempt {attempt.id} has a number that was spent: {attempt.past.counted} attempts count before it"
    if attempt.is_uncounted and attempt.state != "ended":
        yield f"attempt {attempt.id} is {attempt.state} and does not count"
    if attempt.state == "reserved":
        if attempt.run or attempt.sent_ms:
            yield f"attempt {attempt.id} is reserved and was sent"
        if not is_newest:
            yield f"attempt {attempt.id} is reserved, and a later one exists"
        return
    if not attempt.run or attempt.sent_ms is None or attempt.newest_event_when_sent is None:
        yield f"attempt {attempt.id} is {attempt.state}, and was not marked as sent"
    if (attempt.state, attempt.disposition) != outcome_of(known_facts(attempt)):
        yield f"attempt {attempt.id} is {attempt.state} {attempt.disposition}, its facts say {attempt.facts}"
    if (attempt.ended_ms is not None) != (attempt.state == "ended"):
        yield f"attempt {attempt.id} is {attempt.state}, its end is {attempt.ended_ms}"


def _documents(campaign: CampaignView) -> Iterator[str]:
    """What waits for the backend is the newest state."""
    for contact, document in campaign.outbox.items():
        record = campaign.records.get(contact)
        if record is None:
            continue
        last = record.history[-1] if record.history else None
        shown = {
            "ready": {"pending"},
            "previewing": {"pending"},
            "reserved": {"pending"},
            "dialing": {"dialing"},
            "connected": {"answered"},
            "orphaned": {"dialing", "answered"},
        }.get(record.state)
        if shown is None:
            shown = {str(last.disposition)} if last and last.state == "ended" else {"invalid", "failed"}
            shown |= {"failed", "invalid"} if record.state == "final" else set()
            if record.state == "deferred" and record.dead_phone_indexes and shown == {"invalid"}:
                shown = {"failed"}  # another number of the contact may exist
            if _is_owed(record):
                shown = {"callback"}
            elif record.wait is not None and record.wait.reason in DEFERRED_BY_RULE:
                shown = {"pending"}
        if record.is_suppressed:
            shown = {"do_not_call"}
        if document.status not in shown:
            yield f"{contact} is in {record.state}, the backend will be told {document.status}"
        if document.attempts not in (None, record.attempts):
            yield f"{contact} has {record.attempts} attempts, the backend will be told {document.attempts}"


def _numbers(campaign: CampaignView, past: Mapping[str, int] | None) -> Iterator[str]:
    """Public numbers are the sizes of the places, totals are what the attempts' facts add up to."""
    sums = Counter(past or {})
    for record in campaign.records.values():
        for attempt in record.history:
            if attempt.state != "reserved":
                sums += counts(known_facts(attempt))
    for name in TOTALS:
        total = campaign.totals.get(name, 0)
        if total < sums[name] or (past is not None and total != sums[name]):
            yield f"{name} is {total}, the attempts say {sums[name]}"
        if name in campaign.public and int(campaign.public[name]) != total:
            yield f"{name} is {total}, the public hash says {campaign.public[name]}"
    for name, place in CARDINALITIES.items():
        size = len(campaign.states[place])
        if name in campaign.public and int(campaign.public[name]) != size:
            yield f"{size} contacts are in {place}, {name} says {campaign.public[name]}"


def _due(view: LedgerView, name: str, campaign: CampaignView) -> Iterator[str]:
    """The sweeper will look at the campaign when its earliest deadline has come."""
    deadlines = [score for place in DEADLINES for score in campaign.states[place].values()]
    earliest = min(deadlines, default=float("inf"))
    if earliest == float("inf"):
        return
    if name not in view.due:
        yield "a deadline will come and no sweep is due"
    elif view.due[name] > max(earliest, view.now_ms + LATEST_MS):
        yield f"the sweep is due {view.due[name] - earliest:.0f} ms after the earliest deadline"
