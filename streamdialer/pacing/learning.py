"""What a queue has learnt: one value that is kept between decisions and shared by all replicas.

The replica that decides next loads it, adds the new observations, decides and writes it back. It holds every number a
decision reads, so two replicas with the same value and the same view decide alike. It holds bins, not calls: its size
is bounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from streamdialer.pacing.abandon_control import AbandonController
from streamdialer.pacing.answer_rate import AnswerRate, RingTimes, TrunkRefusalRate, quantile_s
from streamdialer.pacing.durations import Durations, free_within
from streamdialer.pacing.types import Observation, QueueView

PATIENCE_S: Final = 2
"""How long a person who answered may wait for an agent before the call counts as abandoned."""
REFRESH_S: Final = 10.0
"""How long a forecast is used: hazards move slowly, and computing them costs more than a decision."""
HORIZONS: Final = (0.2, 0.5, 0.8, 0.95)
"""Quantiles of the ring time of answered calls at which a decision weighs agents against answers. By the median alone
a burst of calls looks safe although its later half finds no agent."""
MAX_CAMPAIGNS: Final = 16
"""Campaigns kept when more were dialed: the ones dialed last, and all of the current view."""
_MIN_HORIZON_S: Final = 1
_MAX_HORIZON_S: Final = 40


class CampaignLearning(msgspec.Struct):
    rate: AnswerRate = msgspec.field(default_factory=AnswerRate)
    refusals: TrunkRefusalRate = msgspec.field(default_factory=TrunkRefusalRate)
    ring: RingTimes = msgspec.field(default_factory=RingTimes)
    controller: AbandonController = msgspec.field(default_factory=AbandonController)
    early_ends: dict[int, int] = msgspec.field(default_factory=dict)
    """Calls that ended sooner than people answer, by the second in which they will count."""
    dealt: float = 0.0
    """Expected answers dealt to it, per weight: its finish tag in fair queueing."""
    decided: float | None = None
    """When calls were last decided for this campaign; the dial tick sets it, pacing does not read it."""

    def count(self, event: Observation, is_human: bool) -> None:
        """Counts an outcome in the answer rate once its call is as old as calls are when people answer.

        Busy and failed calls end at once. Counted at once, they would make a campaign that starts, or doubles its
        calls, look as if no one answered.
        """
        counts_at = event.at - event.seconds + quantile_s(self.ring.answered, 0.5)
        if is_human or counts_at <= event.at:
            self.rate.learn(event.at, is_human)
        else:
            second = math.ceil(counts_at)
            self.early_ends[second] = self.early_ends.get(second, 0) + 1

    def count_early_ends(self, now: float) -> None:
        for second in sorted(second for second in self.early_ends if second <= now):
            for _ in range(self.early_ends.pop(second)):
                self.rate.learn(float(second), False)


class AvailabilityForecast(msgspec.Struct):
    """Chances that agents come free, computed from the hazards every REFRESH_S."""

    at: float
    horizons_s: list[int]
    """When a call placed now is answered, if it is: the HORIZONS of the ring time, ascending."""
    talking: list[list[float]]
    """Chance of being free within each horizon plus PATIENCE_S, by the bin the talk has reached."""
    wrapping: list[list[float]]
    """The same by the bin the wrap-up has reached."""


class QueueLearning(msgspec.Struct):
    """Everything that was learnt about one queue and its campaigns."""

    talk: Durations = msgspec.field(default_factory=lambda: Durations(expected_s=180.0))
    wrapup: Durations = msgspec.field(default_factory=lambda: Durations(expected_s=30.0))
    campaigns: dict[str, CampaignLearning] = msgspec.field(default_factory=dict)
    forecast: AvailabilityForecast | None = None
    dealt: float = 0.0
    """Start tag of the call dealt last, in fair queueing."""
    talks: int = 0
    """Talks learnt since the last forecast."""
    wrapups: int = 0

    def campaign(self, campaign: str) -> CampaignLearning:
        """What was learnt about the campaign; added when there is nothing yet."""
        learning = self.campaigns.get(campaign)
        if learning is None:
            learning = self.campaigns[campaign] = CampaignLearning(dealt=self.dealt)
        return learning

    def observe(self, view: QueueView, observations: Sequence[Observation]) -> AvailabilityForecast:
        """Learns from the observations since the last view; returns the forecast, a new one when that is due."""
        answered_by_person: Counter[str] = Counter()
        abandoned: Counter[str] = Counter()
        for event in observations:
            if event.what == "talk":
                self.talk.learn(event.seconds)
                self.talks += 1
            elif event.what == "wrapup":
                self.wrapup.learn(event.seconds)
                self.wrapups += 1
            elif event.what == "abandoned":
                abandoned[event.campaign] += 1
            else:
                is_human = event.what == "human"
                answered_by_person[event.campaign] += is_human
                learning = self.campaign(event.campaign)
                is_refused = event.what in ("busy", "failed")
                learning.refusals.learn(event.at, is_refused)
                if is_refused and learning.refusals.trunk_is_down:
                    continue
                learning.count(event, is_human)
                learning.ring.learn(event.seconds, is_human)
        for learning in self.campaigns.values():
            learning.count_early_ends(view.now)
        for campaign in view.campaigns:
            self.campaign(campaign.id).controller.advance(
                view.now, campaign.cap, answered_by_person[campaign.id], abandoned[campaign.id]
            )
        forecast = self.forecast
        if forecast is None or not 0 <= view.now - forecast.at < REFRESH_S:
            forecast = self.forecast = self._new_forecast(view)
        return forecast

    def _new_forecast(self, view: QueueView) -> AvailabilityForecast:
        """Fades what was learnt earlier and computes a forecast."""
        self.talk.fade(self.talks)
        self.wrapup.fade(self.wrapups)
        self.talks = self.wrapups = 0
        for learning in self.campaigns.values():
            learning.ring.fade()
        self._drop_absent(view)
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
            self.campaign(campaign.id).ring.answered
            for campaign in view.campaigns
            if campaign.callable > 0 or campaign.ringing
        ] or [RingTimes().answered]
        pooled = [sum(weights) for weights in zip(*rings, strict=True)]
        return [
            min(_MAX_HORIZON_S, max(_MIN_HORIZON_S, round(quantile_s(pooled, share)))) for share in HORIZONS
        ]

    def _wrapup_share(self, view: QueueView) -> float:
        """Share of the remembered talks that were followed by a wrap-up."""
        wrapups = sum(self.wrapup.ended) + len(view.wrapping)
        return min(1.0, (wrapups + 3.0) / (sum(self.talk.ended) + 3.0))

    def _drop_absent(self, view: QueueView) -> None:
        if len(self.campaigns) <= MAX_CAMPAIGNS:
            return
        present = {campaign.id for campaign in view.campaigns}
        absent = sorted(
            (learning.controller.advanced_at or 0.0, name)
            for name, learning in self.campaigns.items()
            if name not in present
        )
        for _, name in absent[: len(self.campaigns) - MAX_CAMPAIGNS]:
            del self.campaigns[name]
