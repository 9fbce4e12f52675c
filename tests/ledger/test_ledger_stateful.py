"""Random steps in random order: the ledger does what the model allows, and every invariant holds.

A step is one script on a real server (sometimes two or three), one fault outside, or an earlier call repeated;
after each step the whole ledger is compared with the model. `make test` takes five thousand steps, the same in every
run; `make quick` takes five hundred. For more, and different ones each time:

    LEDGER_STEPS=1000000 python -m pytest tests/ledger/test_ledger_stateful.py --hypothesis-profile default

`--log-level=info -rP` shows how often each script gave each answer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from streamdialer.model import TickKind
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.ledger_model import AttemptModel
from tests.support.model_driver.base import Delivery, Written
from tests.support.state_machine import (
    CAMPAIGNS,
    HOME,
    EventLoopHarness,
    call_ids,
    campaigns,
    causes,
    few,
    mostly,
    which,
)
from tests.support.state_machine.calls import CallRules
from tests.support.state_machine.suppression import SuppressionRules

log = logging.getLogger(__name__)
STEPS: Final = int(os.environ.get("LEDGER_STEPS", "5000"))
STEPS_PER_EXAMPLE: Final = 100
SEEN_IN_FIVE_THOUSAND: Final = frozenset(
    f"{script}: {answer}"
    for script, answers in {
        "claim": "dialed level not_active window_closed no_call_events",
        "begin": "ok sent stale do_not_call",
        "settle": "ok settled",
        "event": "applied ended unchanged no_attempt",
        "sweep": "released no_event promoted stalled",
        "take": "update busy",
        "telephones": "applied freed",
        "confirm": "done",
        "list": "ended outranked",
        "cleanup": "ok",
    }.items()
    for answer in answers.split()
) | {"claim: skipped min_gap", "claim: skipped in_call", "recheck: pending"}


@pytest.fixture(scope="module")
def bench(server: EmbeddedServer) -> Iterator[EventLoopHarness]:
    opened = EventLoopHarness(server)
    yield opened
    opened.close()


class LedgerMachine(CallRules, SuppressionRules):
    """Adds what the events stage, the sweeper, the updates stage and the tick producer do."""

    # --- events -----------------------------------------------------------------------------------------------

    def _event(
        self, attempt: AttemptModel, kind: str, *, call_id: str = "mine", is_read: bool = True, **said: str
    ) -> None:
        said["call_id"] = {"mine": f"call-{attempt.token}", "strange": "stranger"}.get(call_id, "")
        if call_id == "named":
            said["attempt_id"] = attempt.id
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
        at=few,
        disposition=st.sampled_from(("no_answer", "busy", "failed", "congestion", "cancelled")),
        cause=causes,
        call_id=call_ids,
        is_read=mostly,
    )
    def it_fails(self, at: int, disposition: str, cause: str, call_id: str, is_read: bool) -> None:
        sent, said = self._sent(), {"disposition": disposition, "cause": cause}
        self._event(sent[at % len(sent)], "call_failed", call_id=call_id, is_read=is_read, **said)

    @precondition(lambda self: self._sent())
    @rule(
        at=which,
        kind=st.sampled_from(
            ("call_answered", "call_completed", "call_completed", "call_failed", "call_abandoned")
        ),
        disposition=st.sampled_from(
            ("", "no_answer", "busy", "failed", "abandoned", "machine", "do_not_call")
        ),
        call_id=st.sampled_from(("mine", "mine", "", "strange", "strange", "named")),
        by_machine=st.booleans(),
        cause=causes,
        is_read=mostly,
    )
    def an_event(
        self, at: int, kind: str, disposition: str, call_id: str, by_machine: bool, cause: str, is_read: bool
    ) -> None:
        sent, said = self._sent(), {}
        if kind in ("call_completed", "call_failed"):
            said["disposition"], said["cause"] = disposition, cause
        if kind == "call_answered" and by_machine:
            said["answered_by"] = "machine"
        self._event(sent[at % len(sent)], kind, call_id=call_id, is_read=is_read, **said)

    @precondition(lambda self: self.trial.calls)
    @rule(at=which, kind=st.sampled_from(("call_ringing", "call_answered", "call_failed")), call_id=call_ids)
    def an_event_of_any_call_ever_reserved(self, at: int, kind: str, call_id: str) -> None:
        call = self.trial.calls[at % len(self.trial.calls)][0]
        attempt = AttemptModel(call.id, call.campaign, call.contact, 0, call.token)
        self._event(attempt, kind, call_id=call_id)

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

    @rule(source=st.sampled_from(("a",) * 8 + ("b",)), share=st.sampled_from((0, 0, 0, 1, 2, 3)))
    def a_source_lists_its_calls(self, source: str, share: int) -> None:
        live = [attempt.id for _, attempt in self.trial.model.attempts() if attempt.outcome[0] != "ended"]
        ids = frozenset(each for number, each in enumerate(live) if number % 3 < share)
        self.bench.run(self.trial.list_calls(source, ids))

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
    @rule(at=which, dies=st.sampled_from((False, False, False, False, True)), is_refused=st.booleans())
    def a_deliverer_goes_on(self, at: int, dies: bool, is_refused: bool) -> None:
        trial = self.trial
        delivery = trial.deliveries[at % len(trial.deliveries)]
        if dies and not delivery.has_patched:
            trial.deliveries.remove(delivery)
        elif delivery.update is None:
            self.do(lambda: trial.take(delivery))
        elif not delivery.has_patched:
            trial.patch(delivery)
        else:
            self.bench.run(trial.confirm(delivery, "refused" if is_refused else "taken"))

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

    @precondition(lambda self: self.trial.backend)
    @rule(at=which, status=st.sampled_from(("completed", "completed", "do_not_call", "inactive")))
    def the_backend_ends_a_contact_itself(self, at: int, status: str) -> None:
        known = sorted(self.trial.backend)
        campaign, contact = known[at % len(known)]
        self.trial.end_there(campaign, contact, status)

    @precondition(lambda self: self.trial.calls)
    @rule(campaign=campaigns, status=st.sampled_from(("completed", "do_not_call", "failed")))
    def the_backend_ends_the_contacts_that_wait(self, campaign: str, status: str) -> None:
        self.bench.run(self.trial.deliver_all(campaign))
        for contact in self.trial.model.campaigns[campaign].within("deferred"):
            if self.trial.backend[campaign, contact.id][0] != status:
                self.trial.end_there(campaign, contact.id, status)
        self.bench.run(self.trial.pass_time(31_000))
        self.bench.run(self.trial.sweep(campaign))
        self.bench.run(self.trial.deliver_all(campaign))

    @precondition(lambda self: self.trial.calls)
    @rule(campaign=campaigns)
    def the_backend_refuses_updates_until_the_finished_are_forgotten(self, campaign: str) -> None:
        self.bench.run(self.trial.deliver_all(campaign, "refused"))
        self.bench.run(self.trial.pass_time(61_000))
        self.bench.run(self.trial.sweep(campaign))

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


@pytest.mark.leaves("sd:sources", "sd:source_calls:a", "sd:source_calls:b")  # for the longest call: a week
def test_the_ledger_does_what_the_model_allows_whatever_happens(bench: EventLoopHarness) -> None:
    machine: Any = partial(LedgerMachine, bench)  # a factory works where the signature wants a class
    profile = settings(
        max_examples=1 + STEPS // 75,  # few examples use all their steps
        stateful_step_count=STEPS_PER_EXAMPLE,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)
    log.info("%d steps, %s", bench.steps, dict(sorted(bench.seen.items())))
    assert bench.steps >= STEPS
    missed = SEEN_IN_FIVE_THOUSAND - set(bench.seen)
    assert STEPS < 5_000 or not missed, f"a run in which these never came proves nothing of them: {missed}"
