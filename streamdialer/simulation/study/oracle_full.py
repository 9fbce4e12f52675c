"""A bound: knows when every agent will be free and how every call will go, even calls not yet placed.

Places the next call of a campaign as soon as it is certain that no call is abandoned because of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.round_robin import RoundRobin
from streamdialer.simulation.study.run import VirtualWorld
from streamdialer.simulation.world.entities import Call, CallOutcome
from streamdialer.simulation.world.outcomes import plan_call

Answer = tuple[float, float]
"""When a person will answer, and how long the agent will be busy with the call."""


class OracleFull:
    """Abandons no call; agents wait only for phones to be answered."""

    interval_s: float | None = None

    def __init__(self) -> None:
        self._round_robin = RoundRobin()

    def attach(self, world: VirtualWorld) -> None:
        self._world = world

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        world = self._world
        free_at = self._free_at(view.now)
        answers = sorted(_answer(call) for call in world.live.values() if _will_need_an_agent(call))
        placed: dict[str, int] = {}
        for name in self._round_robin.deal(view.campaigns, view.lines, placed):
            plan = self._next_plan(int(name), placed.get(name, 0), view.now)
            if plan.outcome == "human":
                answer = (view.now + plan.ring_end_s, plan.talk_s + plan.wrap_up_s)
                more_answers = sorted([*answers, answer])
                if not _are_served(free_at, more_answers, world.config.patience_s):
                    continue
                answers = more_answers
            placed[name] = placed.get(name, 0) + 1
        return placed

    def _next_plan(self, campaign: int, after: int, now: float) -> CallOutcome:
        draws = self._world.campaign_draws.peek(campaign, after)
        return plan_call(self._world.config, draws, self._world.scenario.calls.ring_out_s, now)

    def _free_at(self, now: float) -> list[float]:
        """When each agent can take a call, as a heap."""
        ends = []
        for agent in self._world.agents.values():
            if agent.state == "available":
                ends.append(now)
            elif agent.call is not None and not agent.leaving:
                plan = agent.call.plan
                ends.append((agent.call.connected_at or 0.0) + plan.talk_s + plan.wrap_up_s)
        heapq.heapify(ends)
        return ends


def _will_need_an_agent(call: Call) -> bool:
    return call.plan.outcome == "human" and call.connected_at is None


def _answer(call: Call) -> Answer:
    return call.placed_at + call.plan.ring_end_s, call.plan.talk_s + call.plan.wrap_up_s


def _are_served(free_at: Sequence[float], answers: Iterable[Answer], patience_s: float) -> bool:
    """Whether every answer, soonest first, finds an agent before patience ends."""
    ends = list(free_at)
    for answered_at, work_s in answers:
        if not ends or ends[0] > answered_at + patience_s:
            return False
        heapq.heapreplace(ends, max(ends[0], answered_at) + work_s)
    return True
