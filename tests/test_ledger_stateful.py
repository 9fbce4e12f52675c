"""Whatever happens to the ledger in whatever order, it does what the model allows and every invariant holds.

Each step is one script on a real server (sometimes two or three), one fault of the world, or an earlier call again;
after each the whole ledger is compared with the model. Ten thousand steps by default; as many as you like by

    LEDGER_STEPS=1000000 python -m pytest tests/test_ledger_stateful.py

A failure prints the shortest program that hypothesis found for it, and is tried first the next time.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from streamdialer.connection import connect
from streamdialer.embedded import EmbeddedServer
from streamdialer.keys import Keys
from streamdialer.ledger import LoadRow, Reservation, trust_memory
from streamdialer.model import TickKind
from streamdialer.scripts import Scripts
from tests.attempt_model import LIVE
from tests.ledger_model import RETRY_S, AttemptModel
from tests.ledger_trial import Delivery, Trial, Written

STEPS: Final = int(os.environ.get("LEDGER_STEPS", "10000"))
STEPS_PER_EXAMPLE: Final = 100
SHARED, ALONE = ("1", "2"), "3"
CAMPAIGNS: Final = (*SHARED, ALONE)
QUEUES: Final = ("sales", "support")
HOME: Final = {"1": "sales", "2": "sales", "3": "support"}
OPEN, CLOSED = 4_102_444_800_000, 1
"""Ends of a calling window, ms: in 2100 and in 1970."""

FIRST_CONTACTS: Final = tuple(LoadRow(str(number), 5, 0, '{"id":1}') for number in range(1, 9))

SEEN_IN_TEN_THOUSAND: Final = frozenset(
    f"{script}: {answer}"
    for script, answers in {
        "claim": "dialed agents level concurrency no_contacts not_active queue_changed window_closed no_call_events",
        "begin": "ok again sent stale not_active window_closed",
        "settle": "ok settled",
        "event": "applied ended unchanged no_attempt foreign_call unknown_campaign",
        "sweep": "released expired closed promoted forgotten stalled",
        "take": "update busy none",
        "confirm": "done newer lost",
        "cleanup": "ok not_finished calls_live",
    }.items()
    for answer in answers.split()
)

campaigns = st.sampled_from(("1", "1", "2", "2", "3"))
contacts = st.integers(1, 12).map(str)
which = st.integers(0, 2**16)
few = st.integers(0, 7)
call_ids = st.sampled_from(("mine", "mine", ""))
mostly = st.sampled_from((True, True, True, False))


class Bench:
    """One event loop and one connection for all examples."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.loop = asyncio.new_event_loop()
        self.client: Redis = connect(server.url)
        self.scripts = Scripts(self.client)
        self.run(self.scripts.__aenter__())
        self.steps = 0
        self.seen: Counter[str] = Counter()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self.scripts.__aexit__(None, None, None))
        self.run(self.client.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def bench(server: EmbeddedServer) -> Iterator[Bench]:
    opened = Bench(server)
    yield opened
    opened.close()


class LedgerMachine(RuleBasedStateMachine):
    """Every deed is remembered, and any of them may be done again at any time."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.deeds: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.events: list[Written] = []
        self.tokens = 0
        self.trial: Trial

    @initialize(events_required=st.sampled_from((True, True, False)), is_idempotent=st.booleans())
    def start(self, events_required: bool, is_idempotent: bool) -> None:
        self.bench.run(self._start(events_required, is_idempotent))

    async def _start(self, events_required: bool, is_idempotent: bool) -> None:
        client = self.bench.client
        await client.flushall()
        await trust_memory(client, Keys())
        self.trial = Trial(
            client,
            self.bench.scripts,
            CAMPAIGNS,
            QUEUES,
            events_required=events_required,
            is_idempotent=is_idempotent,
        )
        await self._good_moment()

    def do(self, deed: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does it, and remembers it."""
        self.deeds.append(deed)
        self.bench.run(deed())

    @invariant()
    def everything_holds(self) -> None:
        self.bench.steps += 1
        self.bench.run(self.trial.check())

    def teardown(self) -> None:
        self.bench.seen += self.trial.seen

    # --- the world --------------------------------------------------------------------------------------------

    @rule(campaign=campaigns, status=st.sampled_from(("active", "paused", "what", "completed")))
    def status_changes(self, campaign: str, status: str) -> None:
        self.bench.run(self.trial.set_status(campaign, status))

    @rule()
    def a_good_moment(self) -> None:
        """Everything is active, known and staffed; whatever rests or is held stays so."""
        self.bench.run(self._good_moment())

    async def _good_moment(self) -> None:
        trial = self.trial
        for campaign in CAMPAIGNS:
            if trial.model.campaigns[campaign].status != "active":
                await trial.set_status(campaign, "active")
            if not trial.model.campaigns[campaign].queue:
                await trial.register(campaign, HOME[campaign], "")
                await trial.load(campaign, FIRST_CONTACTS)
        for queue in QUEUES:
            if trial.view is None or len(trial.view.queues[queue].free) < 4:
                await trial.store_agents(queue, dict.fromkeys("123456", True), 0)

    @rule(seconds=st.sampled_from((1000, 2000, 5000, 5000, 7000, 31_000, 31_000, 61_000, 721_000)))
    def time_passes(self, seconds: int) -> None:
        self.bench.run(self.trial.pass_time(seconds))

    @rule(
        queue=st.sampled_from(QUEUES),
        free=st.lists(mostly, min_size=1, max_size=6),
        asked_ago=st.sampled_from((0, 0, 2000)),
    )
    def agents_are_listed(self, queue: str, free: list[bool], asked_ago: int) -> None:
        agents = {str(number): is_free for number, is_free in enumerate(free, 1)}
        self.do(lambda: self.trial.store_agents(queue, agents, asked_ago))

    @rule(
        queue=st.sampled_from(QUEUES),
        agent=contacts,
        is_free=st.booleans(),
        ago=st.sampled_from((0, 0, 3000, 9000)),
    )
    def an_agent_changes(self, queue: str, agent: str, is_free: bool, ago: int) -> None:
        self.do(lambda: self.trial.note_agent(queue, agent, is_free, ago))

    # --- contacts and calls -----------------------------------------------------------------------------------

    @rule(campaign=campaigns, queue=st.sampled_from(QUEUES), before=st.sampled_from(("", "right")))
    def is_registered(self, campaign: str, queue: str, before: str) -> None:
        if campaign != ALONE:
            queue = HOME[campaign]
        before = self.trial.model.campaigns[campaign].queue if before else ""
        self.do(lambda: self.trial.register(campaign, queue, before))

    @rule(
        campaign=campaigns,
        rows=st.lists(
            st.builds(
                LoadRow,
                contacts,
                st.integers(1, 10),
                st.sampled_from((0, 0, 0, 1, 2, 3)),
                st.just('{"id":1}'),
                st.sampled_from(("", "", "", "", "no number")),
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda row: row.contact,
        ),
    )
    def contacts_are_loaded(self, campaign: str, rows: list[LoadRow]) -> None:
        self.do(lambda: self.trial.load(campaign, tuple(rows)))

    def _claim(self, campaign: str, level: int, ratio: float, cap: int, **more: Any) -> None:
        model = self.trial.model
        queue = model.campaigns[campaign].queue
        others = {
            one.id: 1.5
            for one in model.campaigns.values()
            if queue and one.queue == queue and one.id != campaign
        }
        if more.get("forgets_others"):
            others = {}
        self.tokens += 1
        open_until = more.get("open_until", OPEN)
        view = self.trial.view
        free = len(view.queues[queue].free) if view is not None and queue else 0
        wanted = Reservation(
            token=f"t{self.tokens}",
            level=level,
            free_agents=free + int(more.get("agents_gone", 0)),
            calls_per_agent=ratio,
            max_concurrent=cap,
            batch=int(more.get("batch", 500)),
            open_until_ms=open_until,
            max_attempts=int(more.get("max_attempts", 3)),
            retry_delay_ms=RETRY_S * 1000,
            others=others,
        )
        open_for_s = {None: None, OPEN: 1e12, CLOSED: -1.0}[open_until]
        self.do(lambda: self.trial.claim(campaign, queue or "sales", wanted, open_for_s))

    @rule(campaign=campaigns, level=st.integers(0, 6))
    def a_claim(self, campaign: str, level: int) -> None:
        self._claim(campaign, level, 3.0, 50)

    @rule(campaign=campaigns)
    def a_claim_of_one_more(self, campaign: str) -> None:
        self._claim(campaign, self.trial.model.campaigns[campaign].placed + 1, 3.0, 50)

    @rule(
        campaign=campaigns,
        level=st.integers(0, 8),
        ratio=st.sampled_from((1.0, 1.2, 3.0)),
        cap=st.integers(0, 6),
        batch=st.sampled_from((500, 500, 2)),
        open_until=st.sampled_from((OPEN, OPEN, None, CLOSED)),
        forgets_others=st.sampled_from((False, False, False, True)),
        agents_gone=st.sampled_from((0, 0, 1, 2)),
        max_attempts=st.sampled_from((3, 3, 2)),
    )
    def a_claim_of_any_kind(self, campaign: str, level: int, ratio: float, cap: int, **more: Any) -> None:
        self._claim(campaign, level, ratio, cap, **more)

    @rule(campaign=campaigns)
    def a_call_is_placed(self, campaign: str) -> None:
        self.bench.run(self._good_moment())
        self.a_claim_of_one_more(campaign)
        self.all_reserved_calls_are_begun()

    @precondition(lambda self: self.trial.calls)
    @rule(at=which, run=st.sampled_from(("a", "b")), closes=st.sampled_from((False, False, False, True)))
    def a_call_is_begun(self, at: int, run: str, closes: bool) -> None:
        attempt, until = self.trial.calls[at % len(self.trial.calls)]
        self.do(lambda: self.trial.begin(attempt, str(CLOSED) if closes else until, run))

    def _reserved(self) -> list[tuple[Any, str]]:
        tokens = {one.token for _, one in self.trial.model.attempts() if one.run is None}
        return [call for call in self.trial.calls if call[0].token in tokens]

    @precondition(lambda self: self._reserved())
    @rule(at=which)
    def a_reserved_call_is_begun(self, at: int) -> None:
        reserved = self._reserved()
        attempt, until = reserved[at % len(reserved)]
        self.do(lambda: self.trial.begin(attempt, until, "a"))

    @precondition(lambda self: self._reserved())
    @rule()
    def all_reserved_calls_are_begun(self) -> None:
        for attempt, until in self._reserved():
            self.do(lambda attempt=attempt, until=until: self.trial.begin(attempt, until, "a"))  # type: ignore[misc]

    @precondition(lambda self: self._sent())
    @rule(
        at=few,
        reply=st.sampled_from(
            (
                ("placed", ""),
                ("placed", ""),
                ("unknown", ""),
                ("unknown", ""),
                ("never", ""),
                ("not_placed", "campaign"),
                ("not_placed", "api"),
                ("not_placed", "credentials"),
            )
        ),
        has_call_id=st.booleans(),
    )
    def a_reply_comes(self, at: int, reply: tuple[str, str], has_call_id: bool) -> None:
        sent = self._sent()
        token = sent[at % len(sent)].token
        attempt = next(call for call, _ in self.trial.calls if call.token == token)
        call_id = f"call-{attempt.token}" if has_call_id and reply[0] == "placed" else ""
        self.do(lambda: self.trial.settle(attempt, reply[0], call_id, reply[1]))

    # --- events -----------------------------------------------------------------------------------------------

    def _sent(self) -> list[AttemptModel]:
        """Attempts that can have events; those that are up first."""
        sent = [one for _, one in self.trial.model.attempts() if one.run is not None]
        return sorted(sent, key=lambda one: one.standing[0] not in LIVE)

    def _event(
        self, attempt: AttemptModel, kind: str, *, call_id: str = "mine", is_read: bool = True, **said: str
    ) -> None:
        said["call_id"] = {"mine": f"call-{attempt.token}", "strange": "stranger"}.get(call_id, "")
        event: Written = self.bench.run(self.trial.write(attempt.campaign, attempt.contact, kind, said))
        self.events.append(event)
        if is_read:
            self.do(lambda: self.trial.read(event, HOME[event.campaign]))

    @precondition(lambda self: self._sent())
    @rule(at=few, kind=st.sampled_from(("call_ringing", "call_answered")), call_id=call_ids, is_read=mostly)
    def it_rings_or_is_answered(self, at: int, kind: str, call_id: str, is_read: bool) -> None:
        sent = self._sent()
        self._event(sent[at % len(sent)], kind, call_id=call_id, is_read=is_read)

    @precondition(lambda self: self._sent())
    @rule(
        at=few, disposition=st.sampled_from(("no_answer", "busy", "failed")), call_id=call_ids, is_read=mostly
    )
    def it_fails(self, at: int, disposition: str, call_id: str, is_read: bool) -> None:
        sent = self._sent()
        self._event(
            sent[at % len(sent)], "call_failed", call_id=call_id, is_read=is_read, disposition=disposition
        )

    @precondition(lambda self: self._sent())
    @rule(
        at=which,
        kind=st.sampled_from(
            ("call_answered", "call_completed", "call_completed", "call_failed", "call_abandoned")
        ),
        disposition=st.sampled_from(
            ("", "no_answer", "busy", "failed", "abandoned", "machine", "do_not_call")
        ),
        call_id=st.sampled_from(("mine", "mine", "", "strange")),
        by_machine=st.booleans(),
        is_read=mostly,
    )
    def an_event(
        self, at: int, kind: str, disposition: str, call_id: str, by_machine: bool, is_read: bool
    ) -> None:
        sent, said = self._sent(), {}
        if kind in ("call_completed", "call_failed"):
            said["disposition"] = disposition
        if kind == "call_answered" and by_machine:
            said["answered_by"] = "machine"
        self._event(sent[at % len(sent)], kind, call_id=call_id, is_read=is_read, **said)

    @precondition(lambda self: self.trial.calls)
    @rule(at=which, kind=st.sampled_from(("call_ringing", "call_answered", "call_failed")), call_id=call_ids)
    def an_event_of_any_call_ever_reserved(self, at: int, kind: str, call_id: str) -> None:
        call = self.trial.calls[at % len(self.trial.calls)][0]
        self._event(
            AttemptModel(call.campaign, call.contact, call.number, call.token, 0), kind, call_id=call_id
        )

    @precondition(lambda self: self.events)
    @rule(at=which)
    def an_event_is_read_late_or_again(self, at: int) -> None:
        event = self.events[at % len(self.events)]
        self.do(lambda: self.trial.read(event, HOME[event.campaign]))

    @precondition(lambda self: self.trial.model.unread)
    @rule()
    def all_events_are_read(self) -> None:
        for event in self.events:
            if event.position in self.trial.model.unread:
                self.do(lambda event=event: self.trial.read(event, HOME[event.campaign]))  # type: ignore[misc]

    # --- sweeps, updates, cleanup -----------------------------------------------------------------------------

    @rule(campaign=campaigns)
    def a_sweep(self, campaign: str) -> None:
        self.do(lambda: self.trial.sweep(campaign))

    @rule(seconds=st.sampled_from((5000, 31_000, 31_000, 721_000)))
    def time_passes_and_all_is_swept(self, seconds: int) -> None:
        self.bench.run(self.trial.pass_time(seconds))
        for campaign in CAMPAIGNS:
            self.bench.run(self.trial.sweep(campaign))

    @precondition(lambda self: self.trial.view and self.trial.view.updates)
    @rule(at=which)
    def a_deliverer_takes_an_update(self, at: int) -> None:
        assert self.trial.view is not None
        entries = sorted(self.trial.view.updates.items())
        entry, (campaign, contact) = entries[at % len(entries)]
        self.tokens += 1
        delivery = Delivery(entry, campaign, contact, f"d{self.tokens}")
        self.trial.deliveries.append(delivery)
        self.do(lambda: self.trial.take(delivery))

    @precondition(lambda self: self.trial.deliveries)
    @rule(at=which, dies=st.sampled_from((False, False, False, False, True)))
    def a_deliverer_goes_on(self, at: int, dies: bool) -> None:
        trial = self.trial
        delivery = trial.deliveries[at % len(trial.deliveries)]
        if dies and not delivery.has_patched:
            trial.deliveries.remove(delivery)
        elif delivery.update is None:
            self.do(lambda: trial.take(delivery))
        elif not delivery.has_patched:
            trial.patch(delivery)
        else:
            self.bench.run(trial.confirm(delivery))

    @precondition(lambda self: self.trial.deliveries)
    @rule(at=which)
    def a_deliverer_is_overtaken(self, at: int) -> None:
        """It is stopped for longer than its lease, and its entry is taken over."""
        stopped = self.trial.deliveries[at % len(self.trial.deliveries)]
        self.bench.run(self.trial.pass_time(4000))
        self.tokens += 1
        taker = Delivery(stopped.entry, stopped.campaign, stopped.contact, f"d{self.tokens}")
        self.trial.deliveries.append(taker)
        self.do(lambda: self.trial.take(taker))

    @precondition(lambda self: self.trial.calls)
    @rule(campaign=campaigns, ended=st.sampled_from(("", "", "", "completed", "cancelled")))
    def ends_and_is_cleaned_up(self, campaign: str, ended: str) -> None:
        queue = self.trial.model.campaigns[campaign].queue
        self.bench.run(self.trial.deliver_all(campaign))
        if not ended:
            return
        self.bench.run(self.trial.set_status(campaign, ended))
        self.do(lambda: self.trial.cleanup(campaign, queue))
        self.bench.run(self.trial.set_status(campaign, "active"))

    # --- ticks ------------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(("dial", "dial", "retry", "cleanup")),
        names=st.lists(st.sampled_from(CAMPAIGNS), min_size=1, unique=True),
        interval_s=st.sampled_from((0, 10**9)),
    )
    def ticks_are_wanted(self, kind: TickKind, names: list[str], interval_s: int) -> None:
        self.do(lambda: self.trial.want_ticks(kind, tuple(names), interval_s))

    @precondition(lambda self: self.trial.ticks)
    @rule(at=which)
    def a_tick_is_run(self, at: int) -> None:
        self.do(lambda: self.trial.run_tick(at))

    # --- again ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.deeds)
    @rule(at=which)
    def an_earlier_call_is_made_again(self, at: int) -> None:
        self.bench.run(self.deeds[at % len(self.deeds)]())

    @precondition(lambda self: self.deeds)
    @rule()
    def the_last_reply_was_lost(self) -> None:
        self.bench.run(self.deeds[-1]())


def test_the_ledger_does_what_the_model_allows_whatever_happens(
    bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    machine: Any = partial(LedgerMachine, bench)  # a factory will do where the signature asks for a class
    while bench.steps < STEPS:
        profile = settings(
            max_examples=1 + (STEPS - bench.steps) // STEPS_PER_EXAMPLE,
            stateful_step_count=STEPS_PER_EXAMPLE,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=profile)
    record_property("steps", bench.steps)
    record_property("answers", dict(bench.seen))
    assert bench.steps >= STEPS
    missed = SEEN_IN_TEN_THOUSAND - set(bench.seen)
    assert STEPS < 10_000 or not missed, f"a run in which these never came proves nothing of them: {missed}"
