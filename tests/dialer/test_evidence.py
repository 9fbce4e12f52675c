"""`rules evidence`: what allowed each call, from its reservation to the auditor's file; and what forbade calls."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.outcome import merge_claims
from streamdialer.consumers.services import Services
from streamdialer.ledger.ticks import all_blocks
from streamdialer.ledger.types import ClaimResult
from streamdialer.ledger.zone_hours import Hours, ZoneOpening
from streamdialer.model import Block, CampaignSettings
from streamdialer.operations.decisions import decisions
from streamdialer.operations.evidence import evidence
from streamdialer.rules.calling_hours import calling_hours
from streamdialer.rules.zone_clock import DAY_MS
from streamdialer.simulation.world.build import build_world
from streamdialer.simulation.world.config import WorldConfig
from tests.support.caps_fixture import CapsWorld
from tests.support.cli import KEYS, Run, ok, refused
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually

NOON_MS = 1_795_800_000_000  # 2026-11-27T18:40:00Z
LAW = "us 2026.1 + us-fl 2026.1; America/New_York"
STREAM = "dialer:outcomes"


def test_the_law_of_a_place_names_packs_versions_and_zones() -> None:
    hours = calling_hours(
        CampaignSettings(queue_name="q", rule_pack="us", timezone="America/Denver"), "UTC", NOON_MS
    )
    assert hours.law_in("America/New_York|us-fl") == LAW
    assert hours.law_in("") == "us 2026.1; America/Denver"
    assert hours.law_in("America/Chicago,America/New_York") == (
        "us 2026.1; 2 zones from America/Chicago to America/New_York"
    )
    without = calling_hours(CampaignSettings(queue_name="q", rule_pack="uk"), "UTC", NOON_MS)
    assert without.law_in("") == ""


async def ended(world: CapsWorld, **claim: Any) -> dict[str, Any]:
    """The outcome of one call more."""
    attempt = await world.reserve("1", **claim)
    await world.mark_sent(attempt)
    await world.event("call_failed", attempt, disposition="no_answer")
    entries: Any = await world.client.xrevrange(world.keys.outcomes, count=1)
    [(_, fields)] = entries
    return msgspec.json.decode(fields["data"], type=dict[str, Any])


def test_contacts_that_no_block_names_are_counted_without_a_rule() -> None:
    named = [Block("window_closed", 2, "law 1", ["5", "6"]), Block("in_call", 1)]
    counts = {"window_closed": 5, "no_consent": 1, "in_call": 1, "agent_not_free": 3}
    assert all_blocks(named, counts) == [named[0], Block("window_closed", 3), Block("no_consent", 1)]


async def test_an_outcome_says_what_allowed_the_call(services: Services) -> None:
    world = CapsWorld(services)
    await world.set_agents(9)
    await world.know("1", "1", "+13055551234")
    until_ms = 4_102_448_400_000  # 2100-01-01T01:00:00Z
    hours = Hours(
        zones={"America/New_York|us-fl": ZoneOpening(until_ms=until_ms, law=LAW)},
        contacts={"1": "America/New_York|us-fl"},
    )
    outcome = await ended(world, hours=hours, rules="us 2026.1")
    assert outcome["allowed_by"] == f"{LAW}; until 2100-01-01T01:00:00Z"
    await world.pass_time(301)
    assert (await ended(world, rules="uk 2026.1"))["allowed_by"] == "uk 2026.1"
    assert [attempt.get("al") for attempt in (await world.record("1"))["h"]] == [None, "uk 2026.1"], (
        "kept once"
    )


def add(db: Any, attempt: str, sent_at: str, **more: Any) -> None:
    data = {"attempt_id": attempt, "campaign_id": 7, "contact_id": 3, "phone_number": "+13055551234"}
    data |= {"disposition": "busy", "sent_at": sent_at, "allowed_by": f"{LAW}; until 2026-11-28T01:00:00Z"}
    db.xadd(STREAM, {"type": "attempt_ended", "data": json.dumps(data | more)})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rows of `streamdialer backend`; None: another backend."""
    from streamdialer.gateways.own_backend import OwnBackend

    rows: list[dict[str, Any]] = []

    async def attempts(self: OwnBackend, campaign: str, since: str, before: str) -> Any:
        for row in rows:
            if "attempt_id" in row:
                yield row

    async def blocks(self: OwnBackend, campaign: str, since: str, before: str) -> Any:
        for row in rows:
            if "entry_id" in row:
                yield row

    monkeypatch.setattr(OwnBackend, "attempts", attempts)
    monkeypatch.setattr(OwnBackend, "blocks", blocks)
    return rows


@pytest.mark.leaves(STREAM)
def test_evidence_is_written_as_csv(run: Run, db: Any, backend: list[dict[str, Any]]) -> None:
    add(db, "7:3:1:a", "2026-11-27T14:00:00.000Z")
    add(db, "7:3:2:b", "2026-11-27T15:00:00.000Z")
    add(db, "7:3:2:b", "2026-11-27T15:00:00.000Z", disposition="no_answer", allowed_by=None)
    add(db, "7:3:9:z", "2026-12-27T15:00:00.000Z")
    backend.append({"attempt_id": "7:3:1:a", "sent_at": "2026-11-27T14:00:00Z", "disposition": "busy"})
    backend.append(
        {
            "attempt_id": "7:3:0:0",
            "sent_at": "2026-11-01T14:00:00Z",
            "disposition": "busy",
            "allowed_by": "us 1",
        }
    )
    times = (("7", NOON_MS), ("7", NOON_MS + 1), ("8", NOON_MS + 2), ("7", NOON_MS + 40 * DAY_MS))
    for campaign, at_ms in times:
        blocks = [
            Block("cap_attempts", 3, "at most 3", ["5", "6"]),
            Block("do_not_call", 2),
        ]
        db.xadd(KEYS.blocks, {"campaign": campaign, "blocks": msgspec.json.encode(blocks)}, id=str(at_ms))
    stored: dict[str, Any] = {"reason": "no_consent", "count": 1, "rule": "law", "contacts": []}
    backend += [stored | {"entry_id": f"{at_ms}-0"} for at_ms in (NOON_MS - 5000, NOON_MS)]
    text = ok(run("rules", "evidence", "--campaign", "7", "--from", "2026-11-01", "--to", "2026-12-01"))
    rows = [
        (row["what"], row["attempt"] or row["contact"], row["result"], row["count"], row["rule"])
        for row in csv.DictReader(io.StringIO(text))
    ]
    allowed = f"{LAW}; until 2026-11-28T01:00:00Z"
    assert rows == [
        ("call", "7:3:1:a", "busy", "1", allowed),
        ("call", "7:3:0:0", "busy", "1", "us 1"),
        ("call", "7:3:2:b", "no_answer", "1", allowed),
        ("block", "", "no_consent", "1", "law"),
        ("block", "", "no_consent", "1", "law"),
        ("block", "5", "cap_attempts", "1", "at most 3"),
        ("block", "6", "cap_attempts", "1", "at most 3"),
        ("block", "", "cap_attempts", "1", "at most 3"),
        ("block", "", "do_not_call", "2", "do-not-call list or the contact's own status"),
    ]


def test_evidence_needs_a_time(run: Run, db: Any) -> None:
    refused(run("rules", "evidence", "--campaign", "7", "--from", "soon"), 2, "--from", "ISO 8601")
    refused(
        run("rules", "evidence", "--campaign", "7", "--from", "2026-12-01", "--to", "2026-11-01"),
        2,
        "after --from",
    )


async def test_a_running_dialer_leaves_evidence_of_calls_and_blocks(settings: Settings, redis: Redis) -> None:
    busy = WorldConfig(human=0, machine=0, busy=1, failed=0)
    made = build_world(agents=2, contacts=3, speed=200, retry_delay_s=20, config=busy, answer_rate=0)
    made.contacts[3].do_not_call = True
    made.campaigns[1].attempt_caps = [{"count": 1, "window_h": 24, "scope": "contact"}]
    async with run_dialer(settings, made, speed=200) as dialer:
        services = dialer.services

        async def is_capped() -> bool:
            records = await decisions(services.client, services.keys, "1", 20)
            return any("cap_attempts" in (record.skipped or {}) for record in records)

        await eventually(is_capped)
        every = evidence(services.client, services.keys, services.settings, "1", 0, 4_102_448_400_000)
        rows = [row async for row in every]
    assert {row.rule for row in rows if row.what == "call"} == {"none 1"}
    for what in ("block", "waiting"):
        of_rules = [row for row in rows if row.what == what and row.contact != "3"]
        assert of_rules
        assert all(row.contact in ("1", "2") for row in of_rules)
        assert all("at most 1 attempt in 24 h per contact" in row.rule for row in of_rules)
    [listed] = [row for row in rows if row.contact == "3"]
    assert (listed.what, listed.rule) == ("block", "do-not-call list or the contact's own status")


def test_two_claims_of_a_tick_have_the_blocks_of_both() -> None:
    first, second = Block("window_closed", 1, "law 1", ["5"]), Block("window_closed", 1, "law 1", ["6"])
    claims = [
        ClaimResult(
            dialed=1,
            free=0,
            dialing=0,
            live=0,
            ready=0,
            deferred=0,
            ledger_ms=0,
            skipped=None,
            blocked=[each],
        )
        for each in (first, second)
    ]
    assert merge_claims(*claims).blocked == [first, second]
