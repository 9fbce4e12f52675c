"""The adaptive rule: place calls while the risk that the next person to answer finds no agent is within a limit.

One more call is acceptable while P(A + F <= H) <= risk limit: A agents are free now, F come free until the call would
be answered and the person's patience ends, H people answer before. The worst of a few possible answer times counts.
Calls up to the number of free agents carry no risk. The rest are dealt to the campaigns by weight, each within its own
risk limit.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from streamdialer.pacing.abandon_control import cap_is_reached
from streamdialer.pacing.answer_rate import AnswerChances, count_by_age
from streamdialer.pacing.durations import count_by_bin
from streamdialer.pacing.learning import CampaignLearning, QueueLearning
from streamdialer.pacing.risk import AgentBalance, Group, worst_risk
from streamdialer.pacing.taking_back import RungLong, unwanted_calls
from streamdialer.pacing.types import CampaignView, Observation, QueueView

Bound = Literal["risk", "cap_reached", "trunk_down", "trunk_channels", "contacts"]
"""Why no more calls are placed. `risk`: one more would carry more than the risk limit. `cap_reached`: the abandon rate
is above its cap, so only calls without risk are placed. `trunk_down`: nearly every call is refused, so only calls
without risk are placed (more of them would all be answered when the trunk is back). `trunk_channels`: the trunk is
full. `contacts`: no contact can be called."""

P_MARGIN_ERRORS: Final = 0.7
"""Standard errors added to p. An estimate that is too low costs abandoned calls, one too high only some idle time."""


class AdaptiveDecision(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls one campaign may place now, and why no more."""

    place: int
    p: float
    """Estimated chance that a placed call is answered by a person."""
    risk_limit: float
    """Most risk one of its calls may carry now."""
    horizon_s: int
    """The horizon at which a shortage of agents is most likely; `coming` and `answering` are for it."""
    available: int
    """Free agents of the queue less answered calls that wait for an agent."""
    coming: float
    """Mean number of agents coming free in time."""
    answering: float
    """Mean number of people answering in time; includes the calls placed now, of all campaigns."""
    risk: float
    """Chance that the person who answers one more call finds no agent."""
    limit: Bound
    take_back: int = 0
    """How many ringing calls are unwanted by now: those that have rung longest, and long enough."""


class _Claim:
    """One campaign while calls are dealt."""

    __slots__ = ("chances", "cost", "is_capped", "learning", "limit", "place", "risk_limit", "view")

    def __init__(self, view: CampaignView, learning: CampaignLearning) -> None:
        self.view = view
        self.learning = learning
        window = (view.cap, view.answered_by_person, view.abandoned)
        self.risk_limit = learning.controller.risk_limit(*window)
        self.is_capped = cap_is_reached(*window)
        self.chances: list[float] = []
        self.cost = max(learning.rate.p, 0.005) / max(view.weight, 1e-6)
        self.place = 0
        self.limit: Bound = "contacts"


class AdaptivePolicy:
    """The rule as a policy; `state`, what the queue has learnt, is all it remembers."""

    interval_s: float | None = None

    def __init__(self) -> None:
        self.state = QueueLearning()
        self.decisions: Mapping[str, AdaptiveDecision] = {}
        """For the last view, by campaign."""

    @property
    def take_back(self) -> Mapping[str, int]:
        """How many ringing calls to take back now, by campaign."""
        return {name: decision.take_back for name, decision in self.decisions.items() if decision.take_back}

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        self.decisions = decide_adaptively(self.state, view, observations)
        return {name: decision.place for name, decision in self.decisions.items() if decision.place}


def decide_adaptively(
    state: QueueLearning, view: QueueView, observations: Sequence[Observation]
) -> dict[str, AdaptiveDecision]:
    """Decides for every campaign of the view. Learns from the observations first: `state` is changed in place."""
    forecast = state.observe(view, observations)
    claims = [_Claim(campaign, state.campaign(campaign.id)) for campaign in view.campaigns]
    talking = count_by_bin(view.now, view.talking)
    wrapping = count_by_bin(view.now, view.wrapping)
    horizons = forecast.horizons_s
    answering: list[list[Group]] = [[] for _ in horizons]
    rung_long: list[RungLong] = []
    for claim in claims:
        rate = claim.learning.rate
        chances = AnswerChances(min(0.98, rate.p + P_MARGIN_ERRORS * rate.error), claim.learning.ring)
        claim.chances = [chances.fresh(horizon) for horizon in horizons]
        for age, count in count_by_age(view.now, claim.view.ringing):
            by_horizon = chances.ringing(age, horizons)
            for groups, chance in zip(answering, by_horizon, strict=True):
                groups.append((count, chance))
            if claim.view.min_ring_s is not None and age >= claim.view.min_ring_s:
                rung_long.append(RungLong(claim.view.id, (count, by_horizon[0]), claim.risk_limit))
    available = view.free - view.waiting
    coming = [
        [(n, by_talk[b]) for b, n in talking] + [(n, by_wrapup[b]) for b, n in wrapping]
        for by_talk, by_wrapup in zip(forecast.talking, forecast.wrapping, strict=True)
    ]
    balances = [AgentBalance(available, *groups) for groups in zip(coming, answering, strict=True)]
    rung_long.reverse()
    unwanted = unwanted_calls(available, coming[0], answering[0], rung_long)
    risk = _deal(state, view, claims, balances, available)
    worst = max(range(len(balances)), key=lambda k: balances[k].estimate())
    return {
        claim.view.id: AdaptiveDecision(
            place=claim.place,
            p=claim.learning.rate.p,
            risk_limit=claim.risk_limit,
            horizon_s=horizons[worst],
            available=available,
            coming=balances[worst].coming,
            answering=balances[worst].answering,
            risk=risk,
            limit=claim.limit,
            take_back=unwanted.get(claim.view.id, 0),
        )
        for claim in claims
    }


def _deal(
    state: QueueLearning,
    view: QueueView,
    claims: Sequence[_Claim],
    balances: Sequence[AgentBalance],
    available: int,
) -> float:
    """Deals calls one by one to the campaign served least for its weight; returns the risk of one more call.

    Start-time fair queueing (Goyal, Vin, Cheng 1996). The cost of a call is its chance of an answer, so campaigns
    share agents, not dialings. A campaign without contacts saves up no turns. No call is withheld for fairness.
    """
    ringing = sum(len(claim.view.ringing) for claim in claims)
    lines = view.lines
    heap = [
        (max(claim.learning.dealt, state.dealt), index)
        for index, claim in enumerate(claims)
        if claim.view.callable > 0
    ]
    heapq.heapify(heap)
    max_limit = max((claim.risk_limit for claim in claims), default=0.0)
    risk = worst_risk(balances, max_limit)
    while heap:
        tag, index = heap[0]
        claim = claims[index]
        bound: Bound | None = None
        if claim.place >= claim.view.callable:
            bound = "contacts"
        elif lines <= 0:
            bound = "trunk_channels"
        elif ringing >= available and claim.is_capped:
            bound = "cap_reached"
        elif ringing >= available and claim.learning.refusals.trunk_is_down:
            bound = "trunk_down"
        elif ringing >= available and risk > claim.risk_limit:
            bound = "risk"
        if bound is not None:
            claim.limit = bound
            heapq.heappop(heap)
            continue
        for balance, chance in zip(balances, claim.chances, strict=True):
            balance.add_calls(1, chance)
        risk = worst_risk(balances, max_limit)
        claim.place += 1
        ringing += 1
        lines -= 1
        state.dealt = tag
        claim.learning.dealt = tag + claim.cost
        heapq.heapreplace(heap, (claim.learning.dealt, index))
    return risk
