"""The rules that load contacts, claim them, begin their calls and bring replies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from streamdialer.ledger.types import ClaimRequest, LoadRow
from tests.support.caps_model import KINDS, caps_of_kind
from tests.support.model_driver.suppression import row_of
from tests.support.retry_model import plans
from tests.support.state_machine import (
    ALONE,
    CLOSED,
    HOME,
    OPEN,
    QUEUES,
    LedgerStateMachine,
    campaigns,
    contacts,
    few,
    which,
)

cap_kinds = st.sampled_from(("none", *KINDS))
"""There must be a contact to call."""


class CallRules(LedgerStateMachine):
    """What the ticks stage and the calls stage do."""

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
                row_of,
                contacts,
                st.integers(1, 10),
                st.sampled_from((0, 0, 0, 1, 2, 3)),
                st.sampled_from(("", "", "", "", "no number")),
                st.booleans(),
                st.sampled_from((False,) * 9 + (True,)),
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
        retry, plan = plans(int(more.get("max_attempts", 3)), bool(more.get("is_plain", True)))
        wanted = ClaimRequest(
            token=f"t{self.tokens}",
            level=level,
            free_agents=free + int(more.get("agents_gone", 0)),
            calls_per_agent=ratio,
            max_concurrent=cap,
            batch=int(more.get("batch", 500)),
            open_until_ms=open_until,
            retry=retry,
            others=others,
            caps=caps_of_kind(caps := str(more.get("caps", "none"))),
        )
        open_for_s = {None: None, OPEN: 1e12, CLOSED: -1.0}[open_until]
        self.do(lambda: self.trial.claim(campaign, queue or "sales", wanted, plan, caps, open_for_s))

    @rule(campaign=campaigns, level=st.integers(0, 6), caps=cap_kinds)
    def a_claim(self, campaign: str, level: int, caps: str) -> None:
        self._claim(campaign, level, 3.0, 50, caps=caps)

    @rule(campaign=campaigns, is_plain=st.booleans(), caps=cap_kinds)
    def a_claim_of_one_more(self, campaign: str, is_plain: bool, caps: str) -> None:
        placed = self.trial.model.campaigns[campaign].placed
        self._claim(campaign, placed + 1, 3.0, 50, is_plain=is_plain, caps=caps)

    @rule(campaign=campaigns)
    def deferred_contacts_are_checked_again(self, campaign: str) -> None:
        self.do(lambda: self.trial.recheck_deferred(campaign))

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
        is_plain=st.booleans(),
        caps=cap_kinds,
    )
    def a_claim_of_any_kind(self, campaign: str, level: int, ratio: float, cap: int, **more: Any) -> None:
        self._claim(campaign, level, ratio, cap, **more)

    @rule(campaign=campaigns, is_plain=st.booleans(), caps=cap_kinds)
    def a_call_is_placed(self, campaign: str, is_plain: bool, caps: str) -> None:
        self.bench.run(self._good_moment())
        self.a_claim_of_one_more(campaign, is_plain, caps)
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
