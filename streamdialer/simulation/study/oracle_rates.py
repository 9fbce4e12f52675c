"""A bound: the adaptive rule with nothing left to learn. It knows every true chance, but no single call.

Its lead over `adaptive` is the cost of learning. The lead of `oracle_agents` over it is the value of knowing when each
agent will be free, which no rule can learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from streamdialer.pacing.adaptive import AdaptivePolicy
from streamdialer.pacing.answer_rate import AnswerRate, RingTimes
from streamdialer.pacing.durations import Durations
from streamdialer.pacing.learning import CampaignLearning, QueueLearning
from streamdialer.pacing.types import Observation, QueueView
from streamdialer.simulation.study.run import VirtualWorld
from streamdialer.simulation.world.outcomes import answer_rate_at, draw, is_trunk_busy, plan_call

SAMPLES = 20_000
KNOWN_RATE_WEIGHT = 1e9
"""Calls behind the true answer rate: so many that it has no error."""


class _KnownRate(AnswerRate):
    """The true answer rate; it learns nothing."""

    def learn(self, at: float, is_human: bool) -> None: ...


class _KnownDurations(Durations):
    """Durations of many calls; learns nothing."""

    def learn(self, seconds: float) -> None: ...

    def fade(self, finished: int) -> None: ...


class _KnownRingTimes(RingTimes):
    """Ring times of many calls; learns nothing."""

    def learn(self, seconds: float, is_human: bool) -> None: ...

    def fade(self) -> None: ...


class OracleRates(AdaptivePolicy):
    """The adaptive rule with the true distributions and the current true answer rate."""

    def attach(self, world: VirtualWorld) -> None:
        """Takes the distributions from draws of its own."""
        self._world = world
        stream, ring_out_s = Random("odds"), world.scenario.calls.ring_out_s
        talk, wrapup, ring = Durations(expected_s=1.0), Durations(expected_s=1.0), RingTimes()
        for _ in range(SAMPLES):
            plan = plan_call(world.config, draw(world.config, stream), ring_out_s)
            is_human = plan.outcome == "human"
            ring.learn(plan.ring_end_s, is_human)
            if is_human:
                talk.learn(plan.talk_s)
                wrapup.learn(plan.wrap_up_s)
        self._ring = _KnownRingTimes(answered=ring.answered, ended=ring.ended)
        self.state = QueueLearning(
            talk=_KnownDurations(expected_s=1.0, ended=talk.ended, exposure_s=talk.exposure_s),
            wrapup=_KnownDurations(expected_s=1.0, ended=wrapup.ended, exposure_s=wrapup.exposure_s),
        )

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        config = self._world.config
        p = 0.0 if is_trunk_busy(config, view.now) else answer_rate_at(config, view.now)
        for campaign in view.campaigns:
            learning = self.state.campaigns.setdefault(campaign.id, CampaignLearning(ring=self._ring))
            learning.rate = _KnownRate(calls=KNOWN_RATE_WEIGHT, answered=KNOWN_RATE_WEIGHT * p)
        return super().place(view, observations)
