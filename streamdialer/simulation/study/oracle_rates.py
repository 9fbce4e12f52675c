"""A bound: the adaptive rule that has nothing left to learn, because it is told every true chance, but no single call.

What it does better than `adaptive` is the price of learning; what `oracle_agents` does better than it is the worth of
knowing when each agent will be free, which nobody can learn.
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
from streamdialer.simulation.world.outcomes import course_of, draw, human_at, is_trunk_busy

SAMPLES = 20_000
CALLS = 1e9
"""Weight of the true answer rate: it has no error."""


class _KnownRate(AnswerRate):
    """The true one; what is seen adds nothing."""

    def learn(self, at: float, is_human: bool) -> None: ...


class _KnownDurations(Durations):
    """Of many; what is seen adds nothing."""

    def learn(self, seconds: float) -> None: ...

    def fade(self, finished: int) -> None: ...


class _KnownRingTimes(RingTimes):
    """The same of ring times."""

    def learn(self, seconds: float, is_human: bool) -> None: ...

    def fade(self) -> None: ...


class OracleRates(AdaptivePolicy):
    """The adaptive rule with the true distributions and the true answer rate of the instant."""

    def __init__(self) -> None:
        super().__init__()

    def attach(self, world: VirtualWorld) -> None:
        """Takes the distributions from draws of their own."""
        self._world = world
        stream, ring_out_s = Random("odds"), world.scenario.calls.ring_out_s
        talk, wrapup, ring = Durations(expected_s=1.0), Durations(expected_s=1.0), RingTimes()
        for _ in range(SAMPLES):
            course = course_of(world.config, draw(world.config, stream), ring_out_s)
            is_human = course.outcome == "human"
            ring.learn(course.ring_end_s, is_human)
            if is_human:
                talk.learn(course.talk_s)
                wrapup.learn(course.wrap_up_s)
        self._ring = _KnownRingTimes(answered=ring.answered, ended=ring.ended)
        self.state = QueueLearning(
            talk=_KnownDurations(expected_s=1.0, ended=talk.ended, exposure_s=talk.exposure_s),
            wrapup=_KnownDurations(expected_s=1.0, ended=wrapup.ended, exposure_s=wrapup.exposure_s),
        )

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        config = self._world.config
        p = 0.0 if is_trunk_busy(config, view.now) else human_at(config, view.now)
        for campaign in view.campaigns:
            known = self.state.campaigns.setdefault(campaign.id, CampaignLearning(ring=self._ring))
            known.rate = _KnownRate(calls=CALLS, humans=CALLS * p)
        return super().place(view, seen)
