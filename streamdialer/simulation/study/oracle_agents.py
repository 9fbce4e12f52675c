"""A bound: knows when every agent will be free and the true chances of a call, but no call's outcome.

Places calls while P(A + F <= H) <= risk limit. F, the agents who come free, is known exactly. H follows from the true
answer rate and ring times. A rule that has to estimate these cannot be expected to do better.
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
from streamdialer.simulation.world.outcomes import answer_rate_at, draw, is_trunk_busy, plan_call

BIN_S = 0.5
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.95)
"""Quantiles of the ring time to an answer, at which the next call may be answered. The worst of them decides: a call
that is safe by itself may take the agent of a call that is answered later."""
SAMPLES = 20_000


class OracleAgents:
    """The rule of `pacing.adaptive` with known ends; all campaigns count as one, with the cap of the first."""

    interval_s: float | None = None

    def __init__(self) -> None:
        self.risk_limit = 0.0
        self._controller = AbandonController()
        self._round_robin = RoundRobin()

    def attach(self, world: VirtualWorld) -> None:
        self._world = world
        self._ring = TrueRingTimes(world.config, world.scenario.calls.ring_out_s)

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        self.risk_limit = self._next_risk_limit(view, observations)
        balances, chances = self._balances(view)
        available = view.free - view.waiting
        ringing = sum(len(campaign.ringing) for campaign in view.campaigns)
        placed: dict[str, int] = {}
        for name in self._round_robin.deal(view.campaigns, view.lines, placed):
            if ringing >= available and worst_risk(balances, self.risk_limit) > self.risk_limit:
                break
            for balance, chance in zip(balances, chances, strict=True):
                balance.add_calls(1, chance)
            placed[name] = placed.get(name, 0) + 1
            ringing += 1
        return placed

    def _next_risk_limit(self, view: QueueView, observations: Sequence[Observation]) -> float:
        """The same controller as the adaptive rule's."""
        cap = view.campaigns[0].cap
        kinds = [observation.what for observation in observations]
        self._controller.advance(view.now, cap, kinds.count("human"), kinds.count("abandoned"))
        answered = sum(campaign.answered_by_person for campaign in view.campaigns)
        abandoned = sum(campaign.abandoned for campaign in view.campaigns)
        if cap_is_reached(cap, answered, abandoned):
            return 0.0
        return self._controller.risk_limit(cap, answered, abandoned)

    def _balances(self, view: QueueView) -> tuple[list[AgentBalance], list[float]]:
        """For each horizon: agents less answers, and the chance that a call placed now is answered within it."""
        config, now = self._world.config, view.now
        p = 0.0 if is_trunk_busy(config, now) else answer_rate_at(config, now)
        ages = Counter(
            int((now - placed_at) / BIN_S) for campaign in view.campaigns for placed_at in campaign.ringing
        )
        ends = self._free_times()
        balances, chances = [], []
        for number, horizon_s in enumerate(self._ring.horizons_s):
            by_age = self._ring.chances(p, number)
            coming = bisect_right(ends, now + horizon_s + config.patience_s)
            answering = [(count, by_age[min(age, len(by_age) - 1)]) for age, count in ages.items()]
            balances.append(AgentBalance(view.free - view.waiting + coming, (), answering))
            chances.append(by_age[0])
        return balances, chances

    def _free_times(self) -> list[float]:
        """When each working agent will be free, soonest first."""
        return sorted(
            (agent.call.connected_at or 0.0) + agent.call.plan.talk_s + agent.call.plan.wrap_up_s
            for agent in self._world.agents.values()
            if agent.call is not None and not agent.leaving
        )


class TrueRingTimes:
    """The true distributions of ring times, in bins of BIN_S, from draws of their own."""

    def __init__(self, config: WorldConfig, ring_out_s: float) -> None:
        stream = Random("ring times")
        human: list[float] = []
        other: list[float] = []
        for _ in range(SAMPLES):
            plan = plan_call(config, draw(config, stream), ring_out_s)
            (human if plan.outcome == "human" else other).append(plan.ring_end_s)
        human.sort()
        self._bins = int(ring_out_s / BIN_S) + 2
        self._human = _ends_by(human, self._bins)
        self._other = _ends_by(sorted(other), self._bins)
        self.horizons_s = [human[int(q * (len(human) - 1))] if human else ring_out_s for q in QUANTILES]
        self._cached: dict[tuple[float, int], list[float]] = {}

    def chances(self, p: float, horizon: int) -> list[float]:
        """By age in bins: the chance that a call that rings at that age is answered within the horizon."""
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
