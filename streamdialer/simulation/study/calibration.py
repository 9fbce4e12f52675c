"""Fits a scenario to a campaign's own calls: shares of the outcomes, and durations by mean and spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Final

import msgspec

from streamdialer.errors import CannotBeDone
from streamdialer.ledger.history import PastCall
from streamdialer.pacing.durations import EDGES, Durations
from streamdialer.simulation.study.scenario import AgentWork, Calls, CampaignPart, Scenario

MIN_CALLS: Final = 30
"""With fewer calls the answer rate would be off by a third."""
MIN_DURATIONS: Final = 8
_DEFAULT: Final = Scenario()


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted scenario, and what it is based on."""

    scenario: Scenario
    calls: int
    assumed: list[str]
    """What the calls do not show, in words; taken from the base scenario."""


def fit(
    calls: Sequence[PastCall],
    *,
    agents: int,
    title: str,
    ratio: float,
    cap: float,
    wrapup: Durations | None = None,
) -> Fit:
    """Fits the base scenario to the calls by the method of moments; raises CannotBeDone for too few calls.

    `wrapup`: what adaptive pacing has learnt about the queue's wrap-up; the calls do not show it.
    """
    if len(calls) < MIN_CALLS:
        raise CannotBeDone(
            f"{title}: {len(calls)} calls are on record, at least {MIN_CALLS} are needed to simulate it"
        )
    if agents < 1:
        raise CannotBeDone(f"{title}: no agent of its queue is known; give their number with --agents")
    assumed: list[str] = []
    shares = Counter(call.outcome for call in calls)
    answers = _present(call.rang_s for call in calls if call.outcome == "human")
    ring_outs = _present(call.rang_s for call in calls if call.outcome == "no_answer")
    machines = _present(call.rang_s for call in calls if call.outcome == "machine")
    holds = _present(call.talked_s for call in calls if call.outcome == "machine")
    talks = _present(call.talked_s for call in calls if call.outcome == "human")
    base, work = _DEFAULT.calls, _DEFAULT.work
    setup_s = fmean(base.setup_s)
    fitted = Calls(
        human=shares["human"] / len(calls),
        machine=shares["machine"] / len(calls),
        busy=shares["busy"] / len(calls),
        failed=shares["failed"] / len(calls),
        answer_mean_s=max(0.5, fmean(answers) - setup_s) if _is_enough(answers) else base.answer_mean_s,
        answer_shape=_shape(answers, setup_s) if _is_enough(answers) else base.answer_shape,
        ring_out_s=max(1.0, fmean(ring_outs)) if _is_enough(ring_outs) else base.ring_out_s,
        machine_answer_s=_around(machines, setup_s) if _is_enough(machines) else base.machine_answer_s,
        voicemail_hold_s=_around(holds, 0.0) if _is_enough(holds) else base.voicemail_hold_s,
    )
    for name, values in {
        "ring time until a person answers": answers,
        "ring time of unanswered calls": ring_outs,
        "talk time": talks,
    }.items():
        if not _is_enough(values):
            assumed.append(name)
    wrap_up_mean_s, wrap_up_cv = work.wrap_up_mean_s, work.wrap_up_cv
    if wrapup is not None and sum(wrapup.ended) >= MIN_DURATIONS:
        wrap_up_mean_s, wrap_up_cv = _moments_of(wrapup)
    else:
        assumed.append("wrap-up time")
    scenario = Scenario(
        title=title,
        agents=agents,
        calls=fitted,
        work=AgentWork(
            talk_mean_s=max(1.0, fmean(talks)) if _is_enough(talks) else work.talk_mean_s,
            talk_cv=_cv(talks) if _is_enough(talks) else work.talk_cv,
            wrap_up_mean_s=wrap_up_mean_s,
            wrap_up_cv=wrap_up_cv,
        ),
        campaigns=(CampaignPart(ratio=ratio, cap=cap),),
    )
    return Fit(scenario=scenario, calls=len(calls), assumed=assumed)


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _is_enough(values: Sequence[float]) -> bool:
    return len(values) >= MIN_DURATIONS


def _cv(values: Sequence[float]) -> float:
    mean = fmean(values)
    return stdev(values) / mean if mean > 0 else 0.0


def _shape(values: Sequence[float], setup_s: float) -> float:
    """Shape of the gamma distribution with their mean (less the setup) and variance, between 0.5 and 50."""
    variance = stdev(values) ** 2
    return min(50.0, max(0.5, (fmean(values) - setup_s) ** 2 / variance)) if variance > 0 else 50.0


def _around(values: Sequence[float], setup_s: float) -> tuple[float, float]:
    """Ends of the uniform distribution with their mean (less the setup) and spread."""
    middle, half = max(0.0, fmean(values) - setup_s), stdev(values) * 3**0.5
    return max(0.0, middle - half), middle + half


def _moments_of(durations: Durations) -> tuple[float, float]:
    """Mean and coefficient of variation; each bin counts at its middle."""
    middles = [(low + high) / 2 for low, high in pairwise(EDGES)] + [1.5 * EDGES[-1]]
    weights = durations.ended
    total = sum(weights)
    mean = sum(w * m for w, m in zip(weights, middles, strict=True)) / total
    variance = sum(w * (m - mean) ** 2 for w, m in zip(weights, middles, strict=True)) / total
    return mean, variance**0.5 / mean
