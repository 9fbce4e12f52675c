"""What a queue has learnt, as one value that is kept between decisions and shared by replicas.

Whoever decides next loads it, adds what was seen since, decides and writes it back. It holds every number a
decision reads, so that two replicas with the same value and the same view decide alike. Bounded: bins, not calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from streamdialer.pacing.abandon_control import AbandonController
from streamdialer.pacing.answer_rate import AnswerRate, RingTimes, TrunkRefusalRate, quantile_s
from streamdialer.pacing.durations import Durations, free_within
from streamdialer.pacing.types import Observation, QueueView

PATIENCE_S: Final = 2
"""How long a person who has answered may wait for an agent without being abandoned."""
REFRESH_S: Final = 10.0
"""How long an outlook serves: hazards move slowly, and working them out costs more than a decision."""
HORIZONS: Final = (0.2, 0.5, 0.8, 0.95)
"""Quantiles of the ring time of answered calls at which a decision weighs agents against answers. At the median
alone a burst of calls looks safe whose later half finds nobody."""
MAX_CAMPAIGNS: Final = 16
"""Those dialed last are kept."""
_SHORTEST_S: Final = 1
_LONGEST_S: Final = 40


class CampaignLearning(msgspec.Struct):
    """What belongs to one campaign."""

    rate: AnswerRate = msgspec.field(default_factory=AnswerRate)
    refusals: TrunkRefusalRate = msgspec.field(default_factory=TrunkRefusalRate)
    ring: RingTimes = msgspec.field(default_factory=RingTimes)
    steering: AbandonController = msgspec.field(default_factory=AbandonController)
    early: dict[int, int] = msgspec.field(default_factory=dict)
    """Calls that ended sooner than people answer, by the second in which they count."""
    dealt: float = 0.0
    """Expected answers dealt to it, per weight: its finish tag in the sharing."""
    decided: float | None = None
    """When calls were last decided on for it, by who keeps that apart from its siblings' decisions."""

    def count(self, event: Observation, is_human: bool) -> None:
        """Takes an outcome into the answer rate when its call has rung as long as people take to answer.

        Busy and failed calls end at once: counted then, they would make a campaign that begins, or doubles its
        calls, look as if nobody answered.
        """
        counts_at = event.at - event.seconds + quantile_s(self.ring.answered, 0.5)
        if is_human or counts_at <= event.at:
            self.rate.learn(event.at, is_human)
        else:
            second = math.ceil(counts_at)
            self.early[second] = self.early.get(second, 0) + 1

    def release(self, now: float) -> None:
        """Counts what has waited long enough."""
        for second in sorted(second for second in self.early if second <= now):
            for _ in range(self.early.pop(second)):
                self.rate.learn(float(second), False)


class AvailabilityForecast(msgspec.Struct):
    """Chances of agents coming free, worked out now and then from the hazards."""

    at: float
    horizons_s: list[int]
    """When a call placed now would be answered, if it is: HORIZONS of the ring time, ascending."""
    talking: list[list[float]]
    """Free within each horizon and the patience, by the bin the talk has reached."""
    wrapping: list[list[float]]


class QueueLearning(msgspec.Struct):
    """Everything learnt about one queue and its campaigns."""

    talk: Durations = msgspec.field(default_factory=lambda: Durations(expected_s=180.0))
    wrapup: Durations = msgspec.field(default_factory=lambda: Durations(expected_s=30.0))
    campaigns: dict[str, CampaignLearning] = msgspec.field(default_factory=dict)
    outlook: AvailabilityForecast | None = None
    dealt: float = 0.0
    """Start tag of the call dealt last."""
    talks: int = 0
    wrapups: int = 0
    """Learnt since the last refresh."""

    def of(self, campaign: str) -> CampaignLearning:
        """The campaign's part, made when there is none."""
        known = self.campaigns.get(campaign)
        if known is None:
            known = self.campaigns[campaign] = CampaignLearning(dealt=self.dealt)
        return known

    def observe(self, view: QueueView, seen: Sequence[Observation]) -> AvailabilityForecast:
        """Learns what was seen up to this view, and looks ahead again when that is due."""
        humans: dict[str, int] = {}
        abandoned: dict[str, int] = {}
        for event in seen:
            if event.what == "talk":
                self.talk.learn(event.seconds)
                self.talks += 1
            elif event.what == "wrapup":
                self.wrapup.learn(event.seconds)
                self.wrapups += 1
            elif event.what == "abandoned":
                abandoned[event.campaign] = abandoned.get(event.campaign, 0) + 1
            else:
                is_human = event.what == "human"
                if is_human:
                    humans[event.campaign] = humans.get(event.campaign, 0) + 1
                learning = self.of(event.campaign)
                is_refused = event.what in ("busy", "failed")
                learning.refusals.learn(event.at, is_refused)
                if is_refused and learning.refusals.trunk_is_down:
                    continue
                learning.count(event, is_human)
                learning.ring.learn(event.seconds, is_human)
        for learning in self.campaigns.values():
            learning.release(view.now)
        for campaign in view.campaigns:
            self.of(campaign.id).steering.advance(
                view.now, campaign.cap, humans.get(campaign.id, 0), abandoned.get(campaign.id, 0)
            )
        outlook = self.outlook
        if outlook is None or not 0 <= view.now - outlook.at < REFRESH_S:
            outlook = self.outlook = self._refresh(view)
        return outlook

    def _refresh(self, view: QueueView) -> AvailabilityForecast:
        self.talk.fade(self.talks)
        self.wrapup.fade(self.wrapups)
        self.talks = self.wrapups = 0
        for learning in self.campaigns.values():
            learning.ring.fade()
        self._forget(view)
        horizons_s = self._horizons_s(view)
        talking, wrapping = free_within(
            self.talk.hazards([view.now - since for since in view.talking]),
            self.wrapup.hazards([view.now - since for since in view.wrapping]),
            [horizon + PATIENCE_S for horizon in horizons_s],
            self._wrapup_share(view),
        )
        return AvailabilityForecast(at=view.now, horizons_s=horizons_s, talking=talking, wrapping=wrapping)

    def _horizons_s(self, view: QueueView) -> list[int]:
        rings = [
            self.of(campaign.id).ring.answered
            for campaign in view.campaigns
            if campaign.callable > 0 or campaign.ringing
        ] or [RingTimes().answered]
        pooled = [sum(weights) for weights in zip(*rings, strict=True)]
        return [min(_LONGEST_S, max(_SHORTEST_S, round(quantile_s(pooled, share)))) for share in HORIZONS]

    def _wrapup_share(self, view: QueueView) -> float:
        """Talks that were followed by a wrap-up, among the remembered ones."""
        wrapups = sum(self.wrapup.ended) + len(view.wrapping)
        return min(1.0, (wrapups + 3.0) / (sum(self.talk.ended) + 3.0))

    def _forget(self, view: QueueView) -> None:
        if len(self.campaigns) <= MAX_CAMPAIGNS:
            return
        present = {campaign.id for campaign in view.campaigns}
        absent = sorted(
            (learning.steering.at or 0.0, name)
            for name, learning in self.campaigns.items()
            if name not in present
        )
        for _, name in absent[: len(self.campaigns) - MAX_CAMPAIGNS]:
            del self.campaigns[name]
