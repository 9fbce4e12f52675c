"""A bound: told when every agent will be free, and the true chances of a call, but no call's outcome.

Places calls while P(A + F <= H) <= theta, where F, the agents who come free, is known exactly, and H follows from the
true answer rate and ring times. No rule that has to guess these can be expected to do better than about this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from streamdialer.pacing.abandon_control import AbandonController, cap_is_reached
from streamdialer.pacing.risk import AgentBalance, worst_risk
from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.round_robin import RoundRobin
from streamdialer.simulation.study.run import VirtualWorld
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.outcomes import course_of, draw, human_at, is_trunk_busy

BIN_S = 0.5
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.95)
"""Of the ring time to an answer: when the next call may be answered. The worst of them decides, since a call that is
safe for itself may take the agent of one answered later."""
SAMPLES = 20_000


class OracleAgents:
    """The marginal risk rule with the agents' diary; all campaigns are taken as one with the first one's cap."""

    every_s: float | None = None

    def __init__(self) -> None:
        self.theta = 0.0
        self._steering = AbandonController()
        self._turns = RoundRobin()

    def attach(self, world: VirtualWorld) -> None:
        self._world = world
        self._ring = RingTimes(world.config, world.scenario.calls.ring_out_s)

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        self.theta = self._steered(view, seen)
        balances, chances = self._outlook(view)
        riskless = view.free - view.waiting
        ringing = sum(len(each.ringing) for each in view.campaigns)
        placed: dict[str, int] = {}
        for name in self._turns.deal(view.campaigns, view.lines, placed):
            if ringing >= riskless and worst_risk(balances, self.theta) > self.theta:
                break
            for balance, chance in zip(balances, chances, strict=True):
                balance.add_calls(1, chance)
            placed[name] = placed.get(name, 0) + 1
            ringing += 1
        return placed

    def _steered(self, view: QueueView, seen: Sequence[Observation]) -> float:
        """The risk it may take, steered as the adaptive rule's is."""
        cap = view.campaigns[0].cap
        self._steering.advance(
            view.now, cap, sum(s.what == "human" for s in seen), sum(s.what == "abandoned" for s in seen)
        )
        humans = sum(each.humans for each in view.campaigns)
        abandoned = sum(each.abandoned for each in view.campaigns)
        return (
            0.0
            if cap_is_reached(cap, humans, abandoned)
            else self._steering.risk_limit(cap, humans, abandoned)
        )

    def _outlook(self, view: QueueView) -> tuple[list[AgentBalance], list[float]]:
        """For each horizon: agents less answers, and the chance that a call placed now is answered within it."""
        config, now = self._world.config, view.now
        p = 0.0 if is_trunk_busy(config, now) else human_at(config, now)
        ages = Counter(
            int((now - placed_at) / BIN_S) for each in view.campaigns for placed_at in each.ringing
        )
        ends = self._ends(self._world)
        balances, chances = [], []
        for number, horizon_s in enumerate(self._ring.horizons_s):
            by_age = self._ring.chances(p, number)
            coming = bisect_right(ends, now + horizon_s + config.patience_s)
            answering = [(count, by_age[min(age, len(by_age) - 1)]) for age, count in ages.items()]
            balances.append(AgentBalance(view.free - view.waiting + coming, (), answering))
            chances.append(by_age[0])
        return balances, chances

    def _ends(self, world: VirtualWorld) -> list[float]:
        """When each working agent will be free, soonest first."""
        return sorted(
            (agent.call.connected_at or 0.0) + agent.call.course.talk_s + agent.call.course.wrap_up_s
            for agent in world.agents.values()
            if agent.call is not None and not agent.leaving
        )


class RingTimes:
    """The true distributions of ring times, in bins of BIN_S, from draws of their own."""

    def __init__(self, config: WorldConfig, ring_out_s: float) -> None:
        stream = Random("ring times")
        human: list[float] = []
        other: list[float] = []
        for _ in range(SAMPLES):
            course = course_of(config, draw(config, stream), ring_out_s)
            (human if course.outcome == "human" else other).append(course.ring_end_s)
        human.sort()
        self._bins = int(ring_out_s / BIN_S) + 2
        self._human = _ends_by(human, self._bins)
        self._other = _ends_by(sorted(other), self._bins)
        self.horizons_s = [human[int(q * (len(human) - 1))] if human else ring_out_s for q in QUANTILES]
        self._cached: dict[tuple[float, int], list[float]] = {}

    def chances(self, p: float, horizon: int) -> list[float]:
        """By age in bins: the chance that a call still ringing at that age is answered within the horizon."""
        key = (round(p, 3), horizon)
        if key not in self._cached:
            ahead = round(self.horizons_s[horizon] / BIN_S)
            by_age = []
            for age in range(self._bins):
                g, j = self._human[age], self._other[age]
                later = self._human[min(age + ahead, self._bins - 1)]
                still = p * (1 - g) + (1 - p) * (1 - j)
                by_age.append(p * (later - g) / still if still > 1e-12 else 0.0)
            self._cached[key] = by_age
        return self._cached[key]


def _ends_by(ordered: Sequence[float], bins: int) -> list[float]:
    return [bisect_right(ordered, number * BIN_S) / max(1, len(ordered)) for number in range(bins)]
