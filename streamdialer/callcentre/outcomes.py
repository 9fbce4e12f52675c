"""Draws how a call will go from a random stream of its own: the order of calls changes no draw."""

from __future__ import annotations

import math
from random import Random

from streamdialer.callcentre.config import WorldConfig
from streamdialer.callcentre.things import Course, Id, Outcome


def draw_course(config: WorldConfig, seed: int, contact: Id, ordinal: int, timeout_s: float) -> Course:
    """The course of the contact's call number `ordinal` (0 is the first), ringing `timeout_s` at most.

    Everything is drawn, and in one order, whatever the outcome: one changed probability moves no other draw.
    """
    stream = Random(f"{seed}:{contact}:{ordinal}")
    outcome = _outcome(config, stream.random())
    setup_s = min(stream.uniform(*config.setup_s), timeout_s)
    person_s = stream.gammavariate(config.answer_shape, config.answer_mean_s / config.answer_shape)
    machine_s = stream.uniform(*config.machine_answer_s)
    hold_s = stream.uniform(*config.machine_hold_s)
    talk_s = _lognormal(stream, config.talk_mean_s, config.talk_cv)
    wrap_up_s = _lognormal(stream, config.wrap_up_mean_s, config.wrap_up_cv)
    ring_end_s = {
        "human": min(setup_s + person_s, timeout_s),
        "machine": min(setup_s + machine_s, timeout_s),
        "no_answer": timeout_s,
    }.get(outcome, setup_s)
    return Course(
        outcome=outcome,
        setup_s=setup_s,
        ring_end_s=ring_end_s,
        talk_s=hold_s if outcome == "machine" else talk_s,
        wrap_up_s=wrap_up_s,
    )


def _outcome(config: WorldConfig, draw: float) -> Outcome:
    outcomes: tuple[tuple[Outcome, float], ...] = (
        ("human", config.human),
        ("machine", config.machine),
        ("busy", config.busy),
        ("failed", config.failed),
    )
    for outcome, probability in outcomes:
        if draw < probability:
            return outcome
        draw -= probability
    return "no_answer"


def _lognormal(stream: Random, mean: float, cv: float) -> float:
    """A draw by mean and coefficient of variation: sigma² = ln(1 + cv²), mu = ln(mean) − sigma²/2."""
    if mean <= 0:
        return 0.0
    variance = math.log1p(cv * cv)
    return stream.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))
