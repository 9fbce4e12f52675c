"""How a call will go: what chance draws for it, and what that means for a call placed at some instant.

Draws come from streams of their own: neither the order of calls nor who places them changes one.
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
    """What chance says of one call, whatever becomes of it. Seconds of life."""

    outcome: float
    """In [0, 1): which outcome it stands for depends on the probabilities of the instant."""
    setup_s: float
    person_s: float
    machine_s: float
    hold_s: float
    talk_s: float
    wrap_up_s: float


class Source(Protocol):
    """Where the draws of calls come from."""

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:
        """The draws of the campaign's next call, to `contact`, who had `ordinal` calls before."""


class DrawsByContact:
    """A stream for every call of every contact: the order of calls changes nothing. Slow: a new stream per call."""

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self._config = config
        self._seed = seed

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:  # noqa: ARG002
        return draw(self._config, Random(f"{self._seed}:{contact}:{ordinal}"))


class DrawsByCampaign:
    """One stream per campaign: its call number k has the same draws whoever places it, and whenever."""

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._streams: dict[Id, Random] = {}
        self._ahead: dict[Id, deque[RandomDraws]] = {}

    def take(self, campaign: Id, contact: Id, ordinal: int) -> RandomDraws:  # noqa: ARG002
        ahead = self._ahead.get(campaign)
        return ahead.popleft() if ahead else draw(self._config, self._stream(campaign))

    def peek(self, campaign: Id, place: int) -> RandomDraws:
        """The draws of the call after `place` more: for those who are told what nobody can know."""
        ahead = self._ahead.setdefault(campaign, deque())
        while len(ahead) <= place:
            ahead.append(draw(self._config, self._stream(campaign)))
        return ahead[place]

    def _stream(self, campaign: Id) -> Random:
        stream = self._streams.get(campaign)
        if stream is None:
            stream = self._streams[campaign] = Random(f"{self._seed}:{campaign}")
        return stream


def draw(config: WorldConfig, stream: Random) -> RandomDraws:
    """The next call's draws: all of them and in one order, so that one changed probability moves no other draw."""
    return RandomDraws(
        outcome=stream.random(),
        setup_s=stream.uniform(*config.setup_s),
        person_s=stream.gammavariate(config.answer_shape, config.answer_mean_s / config.answer_shape),
        machine_s=stream.uniform(*config.machine_answer_s),
        hold_s=stream.uniform(*config.machine_hold_s),
        talk_s=_lognormal(stream, config.talk_mean_s, config.talk_cv),
        wrap_up_s=_lognormal(stream, config.wrap_up_mean_s, config.wrap_up_cv),
    )


def course_of(config: WorldConfig, draws: RandomDraws, timeout_s: float, at: float = 0.0) -> CallOutcome:
    """How a call with these draws goes when it is placed at `at` and rings `timeout_s` at most."""
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


def draw_course(config: WorldConfig, seed: int, contact: Id, ordinal: int, timeout_s: float) -> CallOutcome:
    """The course of the contact's call number `ordinal` (0 is the first), ringing `timeout_s` at most."""
    return course_of(config, DrawsByContact(config, seed).take("", contact, ordinal), timeout_s)


def human_at(config: WorldConfig, at: float) -> float:
    """Probability that a person answers a call placed at `at`."""
    if not config.answer_course:
        return config.human
    return min(1.0, config.human * interpolate(config.answer_course, at))


def is_trunk_busy(config: WorldConfig, at: float) -> bool:
    """Whether the trunk refuses every call just then."""
    return any(begins <= at < ends for begins, ends in config.trunk_busy)


def interpolate(points: Sequence[tuple[float, float]], at: float) -> float:
    """The value at `at` of straight lines through `points`; before the first and after the last it stays.

    Two points at one instant are a step.
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
    human = human_at(config, at)
    if chance < human:
        return "human"
    chance -= human
    others = config.machine + config.busy + config.failed
    # The others give way where they no longer fit beside the people.
    scale = 1.0 if human + others <= 1 else (1 - human) / others
    if chance < (share := config.machine * scale):
        return "machine"
    chance -= share
    if chance < (share := config.busy * scale):
        return "busy"
    return "failed" if chance - share < config.failed * scale else "no_answer"


def _lognormal(stream: Random, mean: float, cv: float) -> float:
    """A draw by mean and coefficient of variation."""
    return stream.lognormvariate(*_log_scale(mean, cv)) if mean > 0 else 0.0


@cache
def _log_scale(mean: float, cv: float) -> tuple[float, float]:
    """Mean and deviation of the logarithm: sigma² = ln(1 + cv²), mu = ln(mean) − sigma²/2."""
    variance = math.log1p(cv * cv)
    return math.log(mean) - variance / 2, math.sqrt(variance)
