"""Events commute: any order, any repetition of an attempt's events ends in the same ledger."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger import trust_memory
from tests.ledger_world import LedgerWorld

pytestmark = pytest.mark.anyio

ENDINGS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "talked": [
        ("call_ringing", {}),
        ("call_answered", {"agent_id": "1"}),
        ("call_completed", {"duration": "12"}),
    ],
    "no answer": [("call_ringing", {}), ("call_failed", {"disposition": "no_answer"})],
    "abandoned": [("call_ringing", {}), ("call_answered", {}), ("call_abandoned", {})],
    "abandoned twice told": [
        ("call_answered", {}),
        ("call_abandoned", {}),
        ("call_completed", {"disposition": "abandoned"}),
    ],
    "machine": [
        ("call_answered", {"answered_by": "machine"}),
        ("call_completed", {"disposition": "machine"}),
    ],
    "contradiction": [
        ("call_answered", {}),
        ("call_failed", {"disposition": "busy"}),
        ("call_completed", {}),
    ],
    "two reasons": [("call_failed", {"disposition": "busy"}), ("call_failed", {"disposition": "failed"})],
}


async def outcome(world: LedgerWorld) -> dict[str, Any]:
    """The ledger as far as the attempt's events shaped it; times left out."""
    record = await world.record("1")
    attempt = record["h"][-1]
    public = await world.public()
    doc = await world.backend_doc("1")
    return {
        "place": record["p"],
        "attempts": record["a"],
        "state": attempt["s"],
        "disposition": attempt.get("d"),
        "facts": attempt["f"],
        "told": doc and (doc["s"], doc["a"]),
        "totals": {
            name: public[name]
            for name in (
                "total_calls",
                "answered_calls",
                "no_answer",
                "busy",
                "failed",
                "abandoned",
                "machine",
            )
        },
        "live": (public["active_calls"], public["connected_calls"]),
    }


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("call_id", ["c1", ""])
async def test_every_order_and_repetition_of_an_attempts_events_ends_in_one_ledger(
    services: Services, ending: str, call_id: str
) -> None:
    events = ENDINGS[ending]
    seen: list[dict[str, Any]] = []
    orders = [list(order) for order in itertools.permutations(events)]
    orders += [list(order) for order in itertools.permutations([*events, events[0]])]
    orders += [[*order, *order] for order in itertools.permutations(events)]
    for order in orders:
        await services.client.flushall()
        await trust_memory(services.client, services.keys)
        world = LedgerWorld(services)
        await world.open_campaign(contacts=1)
        await world.set_agents(2)
        attempt = await world.place_one()
        for kind, data in order:
            answer = await world.event(kind, attempt, call_id=call_id, **data)
            assert answer in ("applied", "unchanged", "ended")
            await world.check_invariants()
        seen.append(await outcome(world))
    assert all(one == seen[0] for one in seen), [one for one in seen if one != seen[0]][:1]


@pytest.mark.parametrize("ending", ["talked", "no answer"])
async def test_events_of_the_previous_attempt_do_not_touch_the_next(services: Services, ending: str) -> None:
    old: list[tuple[str, dict[str, Any]]] = [("call_ringing", {}), ("call_failed", {"disposition": "busy"})]
    expected: dict[str, Any] | None = None
    for late in [[], *itertools.permutations([*old, old[1]])]:
        for events in itertools.permutations(ENDINGS[ending]):
            await services.client.flushall()
            await trust_memory(services.client, services.keys)
            world = LedgerWorld(services)
            await world.open_campaign(contacts=1)
            await world.set_agents(2)
            first = await world.place_one()
            for kind, data in old:
                await world.event(kind, first, call_id="old", **data)
            await world.age(301)
            await world.sweep()
            second = await world.place_one()
            mixed = list(itertools.chain.from_iterable(itertools.zip_longest(late, events)))
            for step in mixed:
                if step is not None:
                    kind, data = step
                    call_id = "old" if step in late and step not in events else "new"
                    await world.event(kind, second, call_id=call_id, **data)
                    await world.check_invariants()
            found = await outcome(world)
            expected = expected or found
            assert found == expected
