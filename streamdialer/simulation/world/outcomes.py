"""How a call will go: the random draws for it, and what they mean for a call placed at a given time.

Draws come from random streams of their own, so the order of calls and the policy that places them change no draw.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Protocol

import msgspec

from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.entities import CallOutcome, Id, Outcome


class RandomDraws(msgspec.Struct, frozen=True, gc=False):
    """All random draws for one call; which of them are used depends on its outcome. Seconds of life."""

    outcome: float
    """In [0, 1); the probabilities at the time of the call turn it into an outcome."""
    setup_s: float
    person_s: float
    machine_s: float
    hold_s: float
    talk_s: float
    wrap_up_s: float


class DrawSource(Protocol):
    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:
        """The draws of the campaign's next call, to a contact that had `ordinal` calls before."""


class DrawsByContact:
    """One stream per call of a contact: the order of calls changes nothing. Slow."""

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self._config = config
        self._seed = seed

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:  # noqa: ARG002
        return draw(self._config, Random(f"{self._seed}:{contact}:{ordinal}"))


class DrawsByCampaign:
    """One stream per campaign: its call number k has the same draws under every policy."""

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._streams: dict[Id, Random] = {}
        self._ahead: dict[Id, deque[RandomDraws]] = {}

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:  # noqa: ARG002
        ahead = self._ahead.get(campaign)
        return ahead.popleft() if ahead else draw(self._config, self._stream(campaign))

    def peek(self, campaign: Id, skip: int) -> RandomDraws:
        """The draws of the call after the next `skip` calls, for policies that know the future."""
        ahead = self._ahead.setdefault(campaign, deque())
        while len(ahead) <= skip:
            ahead.append(draw(self._config, self._stream(campaign)))
        return ahead[skip]

    def _stream(self, campaign: Id) -> Random:
        stream = self._streams.get(campaign)
        if stream is None:
            stream = self._streams[campaign] = Random(f"{self._seed}:{campaign}")
        return stream


def draw(config: WorldConfig, stream: Random) -> RandomDraws:
    """The draws of the next call: always all, in this order, so a changed probability moves no other draw."""
    return RandomDraws(
        outcome=stream.random(),
        setup_s=stream.uniform(*config.setup_s),
        person_s=stream.gammavariate(config.answer_shape, config.answer_mean_s / config.answer_shape),
        machine_s=stream.uniform(*config.machine_answer_s),
        hold_s=stream.uniform(*config.voicemail_hold_s),
        talk_s=_lognormal(stream, config.talk_mean_s, config.talk_cv),
        wrap_up_s=_lognormal(stream, config.wrap_up_mean_s, config.wrap_up_cv),
    )


def plan_call(config: WorldConfig, draws: RandomDraws, timeout_s: float, at: float = 0.0) -> CallOutcome:
    """How a call with these draws goes when it is placed at `at` and rings at most `timeout_s`."""
    outcome = "busy" if is_trunk_busy(config, at) else _outcome(config, draws.outcome, at)
    setup_s = min(draws.setup_s, timeout_s)
    if outcome == "human":
        ring_end_s = min(setup_s + draws.person_s, timeout_s)
    elif outcome == "machine":
        ring_end_s = min(setup_s + draws.machine_s, timeout_s)
    else:
        ring_end_s = timeout_s if outcome == "no_answer" else setup_s
    return CallOutcome(
        outcome=outcome,
        setup_s=setup_s,
        ring_end_s=ring_end_s,
        talk_s=draws.hold_s if outcome == "machine" else draws.talk_s,
        wrap_up_s=draws.wrap_up_s,
    )


def draw_call(config: WorldConfig, seed: int, contact: Id, ordinal: int, timeout_s: float) -> CallOutcome:
    """The plan of the contact's call number `ordinal` (0 is the first) that rings at most `timeout_s`."""
    return plan_call(config, DrawsByContact(config, seed).take("", contact, ordinal), timeout_s)


def answer_rate_at(config: WorldConfig, at: float) -> float:
    """Probability that a person answers a call placed at `at`."""
    if not config.answer_curve:
        return config.human
    return min(1.0, config.human * interpolate(config.answer_curve, at))


def is_trunk_busy(config: WorldConfig, at: float) -> bool:
    """Whether the trunk refuses every call at that time."""
    return any(begins <= at < ends for begins, ends in config.trunk_busy)


def interpolate(points: Sequence[tuple[float, float]], at: float) -> float:
    """The value at `at` on straight lines through `points`; constant before the first and after the last.

    Two points at the same time are a step.
    """
    after = bisect_right(points, at, key=lambda point: point[0])
    if after == 0:
        return points[0][1]
    begins, value = points[after - 1]
    if after == len(points):
        return value
    ends, last = points[after]
    return value + (last - value) * (at - begins) / (ends - begins)


def _outcome(config: WorldConfig, chance: float, at: float) -> Outcome:
    human = answer_rate_at(config, at)  # comes first: the others shrink where they no longer fit beside it
    if chance < human:
        return "human"
    chance -= human
    others = config.machine + config.busy + config.failed
    scale = 1.0 if human + others <= 1 else (1 - human) / others
    if chance < (share := config.machine * scale):
        return "machine"
    chance -= share
    if chance < (share := config.busy * scale):
        return "busy"
    return "failed" if chance - share < config.failed * scale else "no_answer"


def _lognormal(stream: Random, mean: float, cv: float) -> float:
    """A draw from the log-normal distribution with that mean and coefficient of variation."""
    return stream.lognormvariate(*_log_scale(mean, cv)) if mean > 0 else 0.0


@cache
def _log_scale(mean: float, cv: float) -> tuple[float, float]:
    """Mean and deviation of the logarithm: sigma² = ln(1 + cv²), mu = ln(mean) − sigma²/2."""
    variance = math.log1p(cv * cv)
    return math.log(mean) - variance / 2, math.sqrt(variance)
