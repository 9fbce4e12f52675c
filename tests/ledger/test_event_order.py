"""Events commute: any order, any repetition, any delay of an attempt's events ends in the same ledger.

Every order has a contact of its own, all in one campaign: the orders advance together, one event each, and after each
event the whole ledger is checked. Where there are many orders, a sample is drawn, the same in every
run. For all of them:

    EVENT_ORDERS=10000 python -m pytest tests/ledger/test_event_order.py
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

import anyio
import msgspec
import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger.event_facts import fact_of
from streamdialer.model import Attempt, CallEvent
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_invariants import check_ledger
from tests.support.ledger_reader import CampaignView, move_clock
from tests.support.long_tests import some_are_long

Said = tuple[str, dict[str, str]]
"""Type of an event, and what it says."""
RETRY_S, DEADLINE_S = 301, 46
ORDERS: Final = int(os.environ.get("EVENT_ORDERS", "60"))
"""The most orders of one test."""

ENDINGS: Final[dict[str, list[Said]]] = {
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
        ("call_ringing", {}),
        ("call_answered", {"answered_by": "machine"}),
        ("call_completed", {"disposition": "machine"}),
    ],
    "contradiction": [
        ("call_answered", {}),
        ("call_failed", {"disposition": "busy"}),
        ("call_completed", {}),
    ],
    "two reasons": [("call_failed", {"disposition": "busy"}), ("call_failed", {"disposition": "failed"})],
    "two reasons and a ring": [
        ("call_ringing", {}),
        ("call_failed", {"disposition": "busy"}),
        ("call_failed", {"disposition": "no_answer"}),
        ("call_answered", {"answered_by": "machine"}),
    ],
    "five stories": [
        ("call_ringing", {}),
        ("call_answered", {"answered_by": "machine"}),
        ("call_failed", {"disposition": "no_answer"}),
        ("call_completed", {"disposition": "machine"}),
        ("call_completed", {"disposition": "do_not_call"}),
    ],
    "two causes": [("call_failed", {"cause": "34"}), ("call_failed", {"cause": "503"}), ("call_failed", {})],
    "a cause for each taste": [
        ("call_failed", {"cause": "1"}),
        ("call_failed", {"disposition": "busy", "cause": "41"}),
        ("call_failed", {"disposition": "busy", "cause": "SIP 486"}),
        ("call_failed", {"disposition": "congestion"}),
    ],
    "taken back, or busy": [
        ("call_ringing", {}),
        ("call_failed", {"disposition": "cancelled", "cause": "16"}),
        ("call_failed", {"cause": "17"}),
    ],
    "a callback": [
        ("call_answered", {}),
        ("callback_requested", {"agent": "1"}),
        ("call_completed", {"disposition": "callback"}),
    ],
    "two callbacks and no answer": [
        ("call_ringing", {}),
        ("callback_requested", {"in_s": "7200"}),
        ("callback_requested", {"in_s": "3600"}),
        ("call_failed", {"disposition": "no_answer"}),
    ],
    "a callback, and then never": [
        ("call_answered", {}),
        ("callback_requested", {}),
        ("call_completed", {}),
        ("call_completed", {"disposition": "do_not_call"}),
    ],
    "everything at once": [
        ("call_ringing", {}),
        ("call_answered", {}),
        ("call_failed", {"disposition": "no_answer"}),
        ("call_failed", {"disposition": "busy"}),
        ("call_completed", {"disposition": "invalid"}),
        ("call_abandoned", {}),
    ],
}


FOUR_AND_MORE_EVENTS: Final = tuple(name for name, events in ENDINGS.items() if len(events) > 3)
THREE_EVENTS: Final = ("talked", "contradiction", "two causes")


def arrangements(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order in which event i comes counts[i] times, each order once."""
    if not any(counts):
        yield ()
    for event, left in enumerate(counts):
        if left:
            rest = [number - (event == other) for other, number in enumerate(counts)]
            for tail in arrangements(rest):
                yield (event, *tail)


def orders_of(number: int) -> list[tuple[int, ...]]:
    """All orders of the events, and all of up to six in which events come twice, or samples; and all events twice."""
    orders = list(arrangements([1] * number))
    twice = [(*order, *order) for order in orders]
    if number <= 3:
        orders += arrangements([2] * number)
    elif number <= 5:
        for event in range(number):
            orders += arrangements([1 + (event == other) for other in range(number)])
    return sampled(orders) + twice[:: max(1, len(twice) // 50)]


def sampled(orders: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return orders if len(orders) <= ORDERS else random.Random(0).sample(orders, ORDERS)


class Orders:
    """One contact per order, in one campaign."""

    def __init__(self, services: Services, number: int) -> None:
        self.world = LedgerWorld(services)
        self.services = services
        self.number = number
        self.attempts: list[Attempt] = []
        self.opened_s = 0

    async def open(self) -> None:
        self.opened_s, _ = await self.services.client.time()
        await self.world.open_campaign(contacts=self.number, agents=self.number)

    async def call_all(self) -> None:
        """Every contact gets its next attempt."""
        await self.reserve_all()
        await self.send_all()

    async def reserve_all(self) -> None:
        before = len(await self.world.reserved_calls())
        for _ in range(-(-self.number // 500)):  # a claim takes five hundred at most
            await self.world.claim(level=self.number, max_concurrent=self.number, free_agents=0)
        calls = (await self.world.reserved_calls())[before:]
        assert len(calls) == self.number
        self.attempts = sorted(calls, key=lambda attempt: int(attempt.contact))

    async def confirm_all(self) -> None:
        """The backend has taken the newest update of every contact."""
        async with anyio.create_task_group() as group:
            for attempt in self.attempts:
                group.start_soon(self._confirm, attempt.contact)

    async def _confirm(self, contact: str) -> None:
        update = await self.world.lease_update(contact, "worker")
        assert await self.services.outbox.acknowledge("1", contact, "worker", update.version) == "done"

    async def send_all(self) -> None:
        async with anyio.create_task_group() as group:
            for attempt in self.attempts:
                group.start_soon(self._send, attempt)

    async def _send(self, attempt: Attempt) -> None:
        assert await self.world.mark_sent(attempt) == "ok"

    async def written(self, events: Sequence[Said]) -> list[tuple[Said, str]]:
        """The events with the ids of their entries, in the order in which they happened."""
        return [(said, await self.world.write_entry()) for said in events]

    async def hear(self, heard: Sequence[tuple[Said, str] | None], call_id: str) -> None:
        """Each contact's next event (None: it has none now)."""
        async with anyio.create_task_group() as group:
            for attempt, event in zip(self.attempts, heard, strict=True):
                if event is not None:
                    group.start_soon(self._hear, attempt, *event, call_id)
        await self.look()

    async def hear_orders(
        self, orders: Sequence[Sequence[int]], events: Sequence[tuple[Said, str]], call_id: str
    ) -> None:
        """Each contact hears all events in its own order."""
        for nth in range(max(map(len, orders))):
            await self.hear([events[order[nth]] if nth < len(order) else None for order in orders], call_id)

    async def _hear(self, attempt: Attempt, said: Said, entry: str, call_id: str) -> None:
        kind, data = said
        if kind == "callback_requested":
            await self._hear_callback(attempt, entry, **data)
            return
        about = {"campaign_id": "1", "contact_id": attempt.contact, "call_id": call_id}
        event = msgspec.convert({"type": kind, **about, **data}, CallEvent, strict=False)
        heard = await self.services.campaigns.apply_call_event(event, fact_of(event), "support", entry)
        assert heard.outcome in ("applied", "unchanged", "ended")

    async def _hear_callback(self, attempt: Attempt, entry: str, in_s: str = "3600", agent: str = "") -> None:
        at_ms = 1000 * (self.opened_s + int(in_s))
        answer = await self.services.callbacks.schedule("1", attempt.contact, at_ms, entry=entry, agent=agent)
        assert answer in ("applied", "unchanged", "final")

    async def look(self, *, with_outcomes: bool = False) -> CampaignView:
        """The campaign, after every invariant has been checked; nothing is forgotten here, so totals must be exact."""
        client, keys = self.services.client, self.services.keys
        view = await check_ledger(client, keys, ["1"], past={}, with_outcomes=with_outcomes)
        return view.campaigns["1"]

    async def outcomes(self) -> list[Any]:
        """The part of the ledger that events decide, for each contact; without times and tokens."""
        view = await self.look(with_outcomes=True)
        found = []
        for attempt in self.attempts:
            record, told = view.records[attempt.contact], view.outbox.get(attempt.contact)
            found.append(
                (
                    record.state,
                    record.attempts,
                    [
                        (one.number, one.state, one.disposition, one.facts, one.retry_rule, one.is_uncounted)
                        for one in record.history
                    ],
                    told and (told.status, told.attempts),
                    record.callback and record.callback.due_ms,
                )
            )
        return found


def assert_one_ledger(outcomes: list[Any], orders: Sequence[Any]) -> None:
    """Names an order that ended differently from the first."""
    for outcome, order in zip(outcomes, orders, strict=True):
        assert outcome == outcomes[0], f"{order} does not end as {orders[0]}"


@pytest.mark.parametrize("ending", some_are_long(ENDINGS, *FOUR_AND_MORE_EVENTS))
@pytest.mark.parametrize("call_id", ["c1", ""])
async def test_every_order_and_repetition_of_an_attempts_events_ends_in_one_ledger(
    services: Services, ending: str, call_id: str
) -> None:
    orders = orders_of(len(ENDINGS[ending]))
    run = Orders(services, len(orders))
    await run.open()
    await run.call_all()
    events = await run.written(ENDINGS[ending])
    await run.hear_orders(orders, events, call_id)
    assert_one_ledger(await run.outcomes(), orders)


@pytest.mark.parametrize(
    "ending", some_are_long(["two causes", "a cause for each taste"], "a cause for each taste")
)
async def test_every_order_ends_in_one_ledger_with_rules_for_causes(services: Services, ending: str) -> None:
    orders = orders_of(len(ENDINGS[ending]))
    run = Orders(services, len(orders))
    run.world.retry_rules = {
        "q850:34": {"delay": 1},
        "sip:503": {"delay": 2, "counts": True},
        "q850:1": {"delay": 3},
        "q850:41": {"delay": 4, "counts": False},
        "sip:486": {"delay": 5, "limit": 1},
    }
    await run.open()
    await run.call_all()
    events = await run.written(ENDINGS[ending])
    await run.hear_orders(orders, events, "c")
    outcomes = await run.outcomes()
    assert_one_ledger(outcomes, orders)
    assert outcomes[0][2][0][4] == {"two causes": "sip:503", "a cause for each taste": "q850:1"}[ending]


OLD: Final[list[Said]] = [("call_ringing", {}), ("call_failed", {"disposition": "busy"})]
LATE: Final[dict[str, list[Said]]] = {
    "busy": OLD,
    "answered and completed": [("call_answered", {}), ("call_completed", {})],
    "answered, and no end is reported": [("call_ringing", {}), ("call_answered", {})],
    "congested": [("call_ringing", {}), ("call_failed", {"cause": "34"})],
    "abandoned by a machine": [("call_answered", {"answered_by": "machine"}), ("call_abandoned", {})],
}


@pytest.mark.parametrize("ending", ["no answer", *some_are_long(THREE_EVENTS, *THREE_EVENTS)])
@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("has_call_id", [True, False])
async def test_events_of_an_attempt_the_deadline_ended_mix_with_those_of_the_next_in_any_order(
    services: Services, ending: str, late: str, has_call_id: bool
) -> None:
    old, new = LATE[late], ENDINGS[ending]
    untouched = tuple(range(len(old), len(old) + len(new)))
    mixed = sampled(list(arrangements([1] * (len(old) + len(new)))))
    orders = [untouched, *mixed, *((*order, *order) for order in mixed[:: max(1, len(mixed) // 50)])]
    run = Orders(services, len(orders))
    await run.open()
    await run.call_all()
    old_events = await run.written(old)
    await _end_all_by_deadline(run)
    await run.call_all()
    events = old_events + await run.written(new)
    names = {False: "", True: "old"}, {False: "", True: "new"}
    for nth in range(max(map(len, orders))):
        steps = [order[nth] if nth < len(order) else None for order in orders]
        for is_new in (False, True):
            now = [
                events[step] if step is not None and (step >= len(old)) is is_new else None for step in steps
            ]
            await run.hear(now, names[is_new][has_call_id])
    alone, *outcomes = await run.outcomes()
    assert_one_ledger(outcomes, orders[1:])
    place, attempts, history, told, _ = outcomes[0]
    assert (place, attempts, history[1:], told) == (alone[0], alone[1], alone[2][1:], alone[3])


SPEAKING: Final = 1_000_000
"""A contact of no other campaign."""


async def _end_all_by_deadline(run: Orders) -> None:
    """Every attempt of the run ends by its deadline, while another campaign's call has events; then all are ready."""
    client, keys = run.services.client, run.services.keys
    other = LedgerWorld(run.services, queue="elsewhere")
    await other.open_campaign("other", contacts=1, first=SPEAKING, agents=1)
    speaking = Attempt(f"other:{SPEAKING}:1:m", "other", str(SPEAKING), "")
    await other.place_one("other")
    await other.event("call_ringing", speaking)
    await move_clock(client, keys, DEADLINE_S)
    for _ in range(-(-run.number // 200)):
        await run.world.sweep()
    await other.event("call_completed", speaking)
    await move_clock(client, keys, RETRY_S)
    for _ in range(-(-run.number // 200)):
        await run.world.sweep()
    assert await run.world.count("1", "ready") == run.number
    await run.confirm_all()


@pytest.mark.parametrize("ending", ["talked", "no answer"])
async def test_repetitions_of_the_previous_attempts_events_change_nothing_wherever_they_come(
    services: Services, ending: str
) -> None:
    new = ENDINGS[ending]
    places = range(
        4 + len(new)
    )  # while it waits, is ready, is reserved, has been sent, and after each new event
    orders = list(itertools.product(places, repeat=len(OLD)))
    run = Orders(services, len(orders))
    await run.open()
    await run.call_all()
    old = await run.written(OLD)
    for event in old:
        await run.hear([event] * len(orders), "old")

    async def repeat(at: int) -> None:
        for event, said in enumerate(old):
            await run.hear([said if order[event] == at else None for order in orders], "old")

    await repeat(0)
    await move_clock(services.client, services.keys, RETRY_S)
    for _ in range(-(-len(orders) // 200)):
        await run.world.sweep()
    await repeat(1)
    await run.confirm_all()
    await run.reserve_all()
    await repeat(2)
    await run.send_all()
    await repeat(3)
    for at, said in enumerate(await run.written(new), 4):
        await run.hear([said] * len(orders), "new")
        await repeat(at)
    assert_one_ledger(await run.outcomes(), orders)
