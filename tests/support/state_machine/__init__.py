"""The state machine behind the ledger properties: its start, its check after each step, and the world."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.model import AgentState
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.attempt_model import LIVE
from tests.support.caps_model import LONGEST_S
from tests.support.ledger_model import AttemptModel
from tests.support.model_driver import ModelDriver
from tests.support.model_driver.base import Written
from tests.support.model_driver.suppression import row_of
from tests.support.retry_model import CAUSES

SHARED, ALONE = ("1", "2"), "3"
CAMPAIGNS: Final = (*SHARED, ALONE)
QUEUES: Final = ("sales", "support")
AGENTS: Final = {"sales": "123456", "support": "567890"}
"""Two agents stand in both queues."""
HOME: Final = {"1": "sales", "2": "sales", "3": "support"}
OPEN, CLOSED = 4_102_444_800_000, 1
"""Ends of a calling window, ms: in 2100 and in 1970."""

FIRST_CONTACTS: Final = tuple(row_of(str(number), 5, 0) for number in range(1, 9))

campaigns = st.sampled_from(("1", "1", "2", "2", "3"))
contacts = st.integers(1, 12).map(str)
which = st.integers(0, 2**16)
few = st.integers(0, 7)
call_ids = st.sampled_from(("mine", "mine", "", "strange", "named"))
causes = st.sampled_from(sorted(CAUSES))
mostly = st.sampled_from((True, True, True, False))


class EventLoopHarness:
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
        self.run(self._forget_sources())
        self.run(self.scripts.__aexit__(None, None, None))
        self.run(self.client.aclose())
        self.loop.close()

    async def _forget_sources(self) -> None:
        """They last as long as the longest conversation, here for days."""
        await self.client.delete(Keys().sources, *map(Keys().source_calls, "ab"))


class LedgerStateMachine(RuleBasedStateMachine):
    """Every deed is remembered, and any of them may be done again at any time."""

    def __init__(self, bench: EventLoopHarness) -> None:
        super().__init__()
        self.bench = bench
        self.deeds: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.events: list[Written] = []
        self.tokens = 0
        self.trial: ModelDriver

    @initialize(events_required=st.sampled_from((True, True, False)), is_idempotent=st.booleans())
    def start(self, events_required: bool, is_idempotent: bool) -> None:
        self.bench.run(self._start(events_required, is_idempotent))

    async def _start(self, events_required: bool, is_idempotent: bool) -> None:
        client = self.bench.client
        await client.flushall()
        await mark_server_trusted(client, Keys())
        await client.hset(
            Keys().call_history, "longest", str(LONGEST_S * 1000)
        )  # calls are counted from the start
        self.trial = ModelDriver(
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

    def _sent(self) -> list[AttemptModel]:
        """Attempts that can have events; live ones first."""
        sent = [one for _, one in self.trial.model.attempts() if one.run is not None]
        return sorted(sent, key=lambda one: one.outcome[0] not in LIVE)

    # --- the world --------------------------------------------------------------------------------------------

    @rule(campaign=campaigns, status=st.sampled_from(("active", "paused", "what", "completed")))
    def status_changes(self, campaign: str, status: str) -> None:
        self.bench.run(self.trial.set_status(campaign, status))

    @rule()
    def a_good_moment(self) -> None:
        """Everything is active, known and staffed; pauses and holds stay."""
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
                await trial.replace_agents(queue, dict.fromkeys(AGENTS[queue], True), 0)
                for agent in AGENTS[queue]:  # the list does not free who is known to have a call
                    await trial.apply_agent_event(queue, agent, True, 0)

    @rule(seconds=st.sampled_from((1000, 2000, 5000, 5000, 7000, 31_000, 31_000, 61_000, 721_000)))
    def time_passes(self, seconds: int) -> None:
        self.bench.run(self.trial.pass_time(seconds))

    @rule(
        queue=st.sampled_from(QUEUES),
        free=st.lists(mostly, min_size=1, max_size=6),
        asked_ago=st.sampled_from((0, 0, 2000)),
    )
    def agents_are_listed(self, queue: str, free: list[bool], asked_ago: int) -> None:
        agents = dict(zip(AGENTS[queue], free, strict=False))
        self.do(lambda: self.trial.replace_agents(queue, agents, asked_ago))

    @rule(
        queue=st.sampled_from(QUEUES),
        source=st.sampled_from("pq"),
        states=st.lists(
            st.sampled_from(("available", "available", "available", "busy", "wrapup", "offline")),
            min_size=3,
            max_size=6,
        ),
    )
    def telephones_list_agents(self, queue: str, source: str, states: list[AgentState]) -> None:
        agents = dict(zip(AGENTS[queue], states, strict=False))
        self.do(lambda: self.trial.list_telephones(queue, source, agents))

    @rule(
        queue=st.sampled_from(QUEUES),
        agent=st.sampled_from("123567"),
        is_free=st.booleans(),
        ago=st.sampled_from((0, 0, 3000, 9000)),
    )
    def an_agent_changes(self, queue: str, agent: str, is_free: bool, ago: int) -> None:
        self.do(lambda: self.trial.apply_agent_event(queue, agent, is_free, ago))

    # --- again ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.deeds)
    @rule(at=which)
    def an_earlier_call_is_made_again(self, at: int) -> None:
        self.bench.run(self.deeds[at % len(self.deeds)]())

    @precondition(lambda self: self.deeds)
    @rule()
    def the_last_reply_was_lost(self) -> None:
        self.bench.run(self.deeds[-1]())
