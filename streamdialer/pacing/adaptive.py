"""The adaptive rule: place calls while the next person to answer would find no agent with a chance below theta.

One more call is acceptable while P(A + F <= H) <= theta: A agents free now, F coming free until it would be
answered and patience ends, H people answering before; at the worst of a few times at which it may be answered.
Calls that ring beyond the free agents count first, so the part below A is without risk; the rest is dealt to
the campaigns by weight while their own theta allows.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from streamdialer.pacing.abandon_control import cap_is_reached
from streamdialer.pacing.answer_rate import AnswerChances, count_by_age
from streamdialer.pacing.durations import count_by_bin
from streamdialer.pacing.learning import PATIENCE_S, CampaignLearning, QueueLearning
from streamdialer.pacing.risk import AgentBalance, Group, worst_risk
from streamdialer.pacing.types import CampaignView, Observation, QueueView

Bound = Literal["risk", "cap_reached", "trunk_down", "lines", "contacts"]
"""Why no more calls are placed: `risk`, one more would carry more than theta; `cap_reached`, the abandon rate is above
its cap, so that only calls without risk are placed; `trunk_down`, nearly every call is refused, so
that again only calls without risk are placed (as many more would all be answered when the trunk is back);
`lines`, the trunk is full; `contacts`, no call could be placed."""

ERRORS: Final = 0.7
"""Standard errors added to p: being wrong upwards costs abandoned calls, downwards only a little waiting."""


class AdaptiveDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What one campaign may place now, and why no more."""

    place: int
    p: float
    """Chance, as estimated, that a placed call is answered by a person."""
    risk_limit: float
    """Most risk one of its calls may carry now."""
    horizon_s: int
    """The one of the horizons at which agents are likeliest to be short; the means are for it."""
    available: int
    """Free agents less answered calls waiting, of the queue."""
    coming: float
    """Mean number of agents coming free in time."""
    answering: float
    """Mean number of people answering in time, the placed calls of all campaigns included."""
    risk: float
    """Chance that the person answering one more call would find no agent."""
    limit: Bound


class _Claim:
    """One campaign while calls are dealt."""

    __slots__ = ("chances", "cost", "is_capped", "learning", "limit", "place", "theta", "view")

    def __init__(self, view: CampaignView, learning: CampaignLearning) -> None:
        self.view = view
        self.learning = learning
        self.theta = learning.steering.risk_limit(view.cap, view.humans, view.abandoned)
        self.is_capped = cap_is_reached(view.cap, view.humans, view.abandoned)
        self.chances: list[float] = []
        self.cost = max(learning.rate.p, 0.005) / max(view.weight, 1e-6)
        self.place = 0
        self.limit: Bound = "contacts"


class AdaptivePolicy:
    """The rule over the learning state of one queue; `state` is all it remembers."""

    every_s: float | None = None

    def __init__(self, state: QueueLearning | None = None) -> None:
        self.state = QueueLearning() if state is None else state
        self.decisions: Mapping[str, AdaptiveDecision] = {}
        """Of the last view."""

    def place(self, view: QueueView, seen: Sequence[Observation]) -> Mapping[str, int]:
        """Calls to place now, by campaign."""
        self.decisions = decide_adaptively(self.state, view, seen)
        return {name: decision.place for name, decision in self.decisions.items() if decision.place}


def decide_adaptively(
    state: QueueLearning,
    view: QueueView,
    seen: Sequence[Observation],
    coming: Callable[[int], Sequence[Group]] | None = None,
) -> dict[str, AdaptiveDecision]:
    """Learns what was seen, decides for every campaign of the view, and leaves `state` as it must be kept."""
    outlook = state.observe(view, seen)
    claims = [_Claim(campaign, state.of(campaign.id)) for campaign in view.campaigns]
    talking = count_by_bin(view.now, view.talking)
    wrapping = count_by_bin(view.now, view.wrapping)
    horizons = outlook.horizons_s
    answering: list[list[Group]] = [[] for _ in horizons]
    for claim in claims:
        rate = claim.learning.rate
        chances = AnswerChances(min(0.98, rate.p + ERRORS * rate.error), claim.learning.ring)
        claim.chances = [chances.fresh(horizon) for horizon in horizons]
        for age, count in count_by_age(view.now, claim.view.ringing):
            for groups, chance in zip(answering, chances.ringing(age, horizons), strict=True):
                groups.append((count, chance))
    available = view.free - view.waiting
    balances = []
    for k, horizon in enumerate(horizons):
        if coming is None:
            by_talk, by_wrapup = outlook.talking[k], outlook.wrapping[k]
            groups = [(n, by_talk[b]) for b, n in talking] + [(n, by_wrapup[b]) for b, n in wrapping]
        else:
            groups = list(coming(horizon + PATIENCE_S))
        balances.append(AgentBalance(available, groups, answering[k]))
    risk = _deal(state, view, claims, balances, available)
    worst = max(range(len(balances)), key=lambda k: balances[k].estimate())
    return {
        claim.view.id: AdaptiveDecision(
            place=claim.place,
            p=claim.learning.rate.p,
            risk_limit=claim.theta,
            horizon_s=horizons[worst],
            available=available,
            coming=balances[worst].coming,
            answering=balances[worst].answering,
            risk=risk,
            limit=claim.limit,
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
    """Deals calls one by one to the campaign served least for its weight; returns the risk of one more.

    Start-time fair queueing (Goyal, Vin, Cheng 1996): a call's cost is its chance of an answer, so that campaigns
    share agents and not dialings; nobody saves up turns it had no contacts for; no call is withheld for fairness.
    """
    ringing = sum(len(claim.view.ringing) for claim in claims)
    lines = view.lines
    heap = [
        (max(claim.learning.dealt, state.dealt), index)
        for index, claim in enumerate(claims)
        if claim.view.callable > 0
    ]
    heapq.heapify(heap)
    most = max((claim.theta for claim in claims), default=0.0)
    risk = worst_risk(balances, most)
    while heap:
        tag, index = heap[0]
        claim = claims[index]
        refused: Bound | None = None
        if claim.place >= claim.view.callable:
            refused = "contacts"
        elif lines <= 0:
            refused = "lines"
        elif ringing >= available and claim.is_capped:
            refused = "cap_reached"
        elif ringing >= available and claim.learning.refusals.trunk_is_down:
            refused = "trunk_down"
        elif ringing >= available and risk > claim.theta:
            refused = "risk"
        if refused is not None:
            claim.limit = refused
            heapq.heappop(heap)
            continue
        for balance, chance in zip(balances, claim.chances, strict=True):
            balance.add_calls(1, chance)
        risk = worst_risk(balances, most)
        claim.place += 1
        ringing += 1
        lines -= 1
        state.dealt = tag
        claim.learning.dealt = tag + claim.cost
        heapq.heapreplace(heap, (claim.learning.dealt, index))
    return risk
