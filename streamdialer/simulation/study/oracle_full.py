"""A bound: told when every agent will be free and how every call will go, those not yet placed included.

Places the next call of a campaign as soon as it is certain that nobody is abandoned by it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.round_robin import RoundRobin
from streamdialer.simulation.study.run import VirtualWorld
from streamdialer.simulation.world.entities import Call, CallOutcome
from streamdialer.simulation.world.outcomes import course_of

Answer = tuple[float, float]
"""When a person will answer, and how long they will keep an agent."""


class OracleFull:
    """Nobody is abandoned, and agents wait only for phones to be picked up."""

    every_s: float | None = None

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def attach(self, world: VirtualWorld) -> None:
        self._world = world

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:  # noqa: ARG002
        world = self._world
        free_at = self._free_at(view.now)
        answers = sorted(_answer(call) for call in world.live.values() if _will_need_an_agent(call))
        placed: dict[str, int] = {}
        for name in self._turns.deal(view.campaigns, view.lines, placed):
            course = self._next_course(int(name), placed.get(name, 0), view.now)
            if course.outcome == "human":
                answer = (view.now + course.ring_end_s, course.talk_s + course.wrap_up_s)
                with_it = sorted([*answers, answer])
                if not _are_served(free_at, with_it, world.config.patience_s):
                    continue
                answers = with_it
            placed[name] = placed.get(name, 0) + 1
        return placed

    def _next_course(self, campaign: int, after: int, now: float) -> CallOutcome:
        draws = self._world.stock.peek(campaign, after)
        return course_of(self._world.config, draws, self._world.scenario.calls.ring_out_s, now)

    def _free_at(self, now: float) -> list[float]:
        """When each agent can take a call, as a heap."""
        ends = []
        for agent in self._world.agents.values():
            if agent.state == "available":
                ends.append(now)
            elif agent.call is not None and not agent.leaving:
                course = agent.call.course
                ends.append((agent.call.connected_at or 0.0) + course.talk_s + course.wrap_up_s)
        heapq.heapify(ends)
        return ends


def _will_need_an_agent(call: Call) -> bool:
    return call.course.outcome == "human" and call.connected_at is None


def _answer(call: Call) -> Answer:
    return call.placed_at + call.course.ring_end_s, call.course.talk_s + call.course.wrap_up_s


def _are_served(free_at: Sequence[float], answers: Iterable[Answer], patience_s: float) -> bool:
    """Whether every answer, soonest first, finds an agent before patience ends."""
    ends = list(free_at)
    for answered_at, work_s in answers:
        if not ends or ends[0] > answered_at + patience_s:
            return False
        heapq.heapreplace(ends, max(ends[0], answered_at) + work_s)
    return True
