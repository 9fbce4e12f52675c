"""What follows the end of an attempt: delays, limits, what counts, and which attempts use up a number."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from streamdialer.model import Attempt
from tests.support.ledger_fixture import LedgerWorld


async def told(world: LedgerWorld, contact: str = "1") -> tuple[str, int | None]:
    update = await world.backend_doc(contact)
    return update["s"], update.get("a")


async def delay_s(world: LedgerWorld, contact: str = "1") -> float:
    """From the end of the newest attempt to the next."""
    due = await world.client.zscore(world.keys.deferred("1"), contact)
    assert due is not None
    return float(due - (await world.record(contact))["h"][-1]["em"]) / 1000


async def one_contact(world: LedgerWorld, rules: dict[str, Any] | None = None, contacts: int = 1) -> None:
    world.retry_rules = rules
    await world.open_campaign(contacts=contacts, agents=contacts)


async def fail(world: LedgerWorld, **said: str) -> Attempt:
    """Calls the contact that is ready, and the call fails."""
    attempt = await world.place_one()
    assert await world.event("call_failed", attempt, **said) == "ended"
    await world.check_invariants()
    return attempt


async def wait_for_the_next(world: LedgerWorld) -> None:
    await world.age(10_000_000)
    assert (await world.sweep()).promoted == 1


@pytest.mark.parametrize("rules", [None, {"no_answer": {"delay": 0}}])
async def test_without_a_delay_the_next_attempt_is_due_at_once(
    world: LedgerWorld, rules: dict[str, Any] | None
) -> None:
    world.retry_delay_ms = 0 if rules is None else 300_000
    await one_contact(world, rules)
    await fail(world, disposition="no_answer")
    assert await delay_s(world) == 0
    assert (await world.sweep()).promoted == 1
    assert (await world.place_one()).id.startswith("1:1:2:")


async def test_a_congested_network_counts_no_attempt_and_uses_its_number_up(world: LedgerWorld) -> None:
    await one_contact(world)
    first = await fail(world, cause="34")
    assert await told(world) == ("failed", 0), (
        "to the backend a congested network is a failure that counts nothing"
    )
    assert (await world.public())["failed"] == "1"
    assert await world.state_of("1") == "deferred"
    await wait_for_the_next(world)
    second = await world.place_one()
    assert await told(world) == ("dialing", 1)
    assert [each.id.rpartition(":")[0] for each in (first, second)] == ["1:1:1", "1:1:2"]
    assert await world.event("call_failed", second, disposition="busy") == "ended"
    assert await told(world) == ("busy", 1)


async def test_a_call_that_was_taken_back_does_not_count(world: LedgerWorld) -> None:
    await one_contact(world, {"q850:16": {"final": True}})
    attempt = await world.place_one()
    await world.event("call_ringing", attempt)
    assert await world.event("call_failed", attempt, disposition="cancelled", cause="16") == "ended"
    assert await told(world) == ("no_answer", 0)
    assert (await world.state_of("1"), await delay_s(world)) == ("deferred", 300)
    await wait_for_the_next(world)
    assert await world.event("call_failed", await world.place_one(), disposition="no_answer") == "ended"
    assert await told(world) == ("no_answer", 1)


async def test_no_answer_after_congestion_still_has_all_its_attempts(world: LedgerWorld) -> None:
    await one_contact(world)
    for said in ({"cause": "503"}, {"cause": "19"}, {"cause": "44"}, {"cause": "19"}, {"cause": "19"}):
        assert await world.state_of("1") == "ready"
        await fail(world, **said)
        if await world.state_of("1") == "deferred":
            await wait_for_the_next(world)
    assert await world.state_of("1") == "final"
    assert await told(world) == ("no_answer", 3)


async def test_a_network_that_stays_congested_is_tried_less_and_less_often(world: LedgerWorld) -> None:
    world.max_attempts = 2
    await one_contact(world, {"uncounted_in_a_row": 2})
    counted: list[int | None] = []
    delays: list[float] = []
    while len(counted) < 9 and await world.state_of("1") == "ready":
        await fail(world, cause="Q.850;cause=42")
        counted.append((await told(world))[1])
        if await world.state_of("1") == "deferred":
            delays.append(await delay_s(world))
            await wait_for_the_next(world)
    assert counted == [0, 0, 1, 1, 1, 2], "every third counts, whatever its rule says"
    assert delays == [300, 600, 1200, 2400, 3600]
    assert await world.state_of("1") == "final"


@pytest.mark.parametrize("cause", ["1", "28", "404", "SIP/2.0 410 Gone", "604"])
async def test_a_number_that_does_not_exist_is_never_called_again(world: LedgerWorld, cause: str) -> None:
    await one_contact(world)
    await fail(world, disposition="failed", cause=cause)
    assert await world.state_of("1") == "final"
    assert await told(world) == ("invalid", 1)


async def test_a_limit_ends_a_contact_that_has_attempts_left(world: LedgerWorld) -> None:
    world.max_attempts = 9
    await one_contact(world, {"busy": {"limit": 2}, "no_answer": {"limit": 2}})
    for disposition in ("busy", "no_answer"):
        await fail(world, disposition=disposition)
        await wait_for_the_next(world)
    await fail(world, disposition="busy")
    assert await world.state_of("1") == "final"
    assert await told(world) == ("busy", 3)


async def test_a_limit_counts_beyond_the_attempts_a_record_keeps(world: LedgerWorld) -> None:
    world.max_attempts = 40
    await one_contact(world, {"busy": {"limit": 12}})
    for _ in range(11):
        await fail(world, disposition="busy")
        await wait_for_the_next(world)
    await fail(world, disposition="busy")
    assert await world.state_of("1") == "final"


async def test_a_cause_has_a_rule_of_its_own(world: LedgerWorld) -> None:
    await one_contact(world, {"sip:486": {"delay": 40}, "busy": {"delay": 80}})
    await fail(world, cause="486")
    assert await delay_s(world) == 40
    assert (await world.record("1"))["w"] == {"y": "retry", "s": "sip:486"}
    await wait_for_the_next(world)
    await fail(world, cause="17")
    assert await delay_s(world) == 80


@pytest.mark.parametrize("kind", ["machine", "abandoned"])
async def test_a_call_that_reached_no_conversation_is_repeated_where_the_campaign_asks_for_it(
    world: LedgerWorld, kind: str
) -> None:
    await one_contact(world, {kind: {"delay": 900}})
    attempt = await world.place_one()
    await world.event("call_answered", attempt, answered_by="machine" if kind == "machine" else "human")
    assert await world.event("call_completed", attempt, disposition=kind) == "ended"
    assert await world.state_of("1") == "deferred"
    assert await delay_s(world) == 900
    assert await told(world) == (kind, 1)
    await world.check_invariants()


async def test_jitter_hangs_on_the_attempts_id_alone(world: LedgerWorld) -> None:
    await one_contact(world, {"busy": {"delay": 1000, "jitter": 0.5}, "no_answer": {"delay": 5}}, contacts=20)
    delays = []
    for _ in range(20):
        attempt = await world.place_one()
        await world.event("call_failed", attempt, disposition="no_answer", call_id="c")
        await world.event("call_failed", attempt, disposition="busy", call_id="c")
        delays.append(await delay_s(world, attempt.contact))
        share = int(hashlib.sha1(attempt.id.encode()).hexdigest()[:8], 16) / 2**32
        assert delays[-1] == pytest.approx(1000 * (1 + 0.5 * share), abs=0.001)
    assert max(delays) - min(delays) > 100


async def test_a_late_cause_takes_the_next_reservation_back(world: LedgerWorld) -> None:
    await one_contact(world)
    attempt = await fail(world)
    assert await told(world) == ("failed", 1)
    await wait_for_the_next(world)
    await world.claim(level=1)
    assert await world.state_of("1") == "reserved"
    assert await world.event("call_failed", attempt, cause="34") == "ended"
    assert await world.state_of("1") == "deferred"
    assert await told(world) == ("failed", 0)
    reserved = (await world.reserved_calls())[-1]
    assert await world.mark_sent(reserved) == "stale"
    await world.check_invariants()


async def test_a_cause_after_the_next_call_was_sent_changes_only_its_attempt(world: LedgerWorld) -> None:
    await one_contact(world)
    attempt = await world.place_one()
    await world.event("call_failed", attempt, call_id="first")
    await wait_for_the_next(world)
    await world.place_one()
    assert await world.event("call_failed", attempt, cause="34", call_id="first") == "applied"
    record = await world.record("1")
    assert (record["a"], record["p"]) == (2, "dialing")
    assert record["h"][0]["u"]
    assert await told(world) == ("dialing", 2)


async def test_a_contact_that_was_forgotten_and_comes_back_gets_an_unused_id(world: LedgerWorld) -> None:
    await one_contact(world, {"congestion": {"limit": 1}})
    first = await fail(world, cause="34")
    assert await world.state_of("1") == "final"
    update = await world.lease_update("1", "me")
    assert await world.services.outbox.acknowledge("1", "1", "me", update.version) == "done"
    await world.age(10_000_000)
    assert (await world.sweep()).forgotten == 1
    await world.services.campaigns.load("1", [world.row("1")], 3)
    again = await world.place_one()
    assert first.id != again.id
    assert [each.id.rpartition(":")[0] for each in (first, again)] == ["1:1:1", "1:1:1"]
    assert await told(world) == ("dialing", 1)
    await world.check_invariants()


async def test_the_plan_of_the_newest_claim_applies_to_calls_that_are_up(world: LedgerWorld) -> None:
    await one_contact(world, contacts=2)
    attempt = await world.place_one()
    world.retry_rules = {"no_answer": {"delay": 77}}
    await world.place_one()
    await world.event("call_failed", attempt, disposition="no_answer")
    assert await delay_s(world, attempt.contact) == 77
