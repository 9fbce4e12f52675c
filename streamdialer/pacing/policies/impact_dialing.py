"""The rule of Impact Dialing, as its public source says (`SimulatedValues`, `Predictive`), in our words.

Every second: calls = lines per waiting agent × waiting agents − ringing calls. Once a minute it finds the lines per
agent by a replay: up to a hundred calls of the last half hour are drawn at random for four simulated minutes, with one
sixth, two sixths … of 1 / answer rate as lines; of those that stay within the limit, the one that keeps agents busiest
is taken. Above the limit it takes three quarters of that. With fewer than five agents or fifty calls it is 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from streamdialer.pacing.policies.weights import share_by_weight
from streamdialer.pacing.types import Observation, QueueView

HISTORY_S: Final = 1800.0
MAX_CALLS: Final = 100
MIN_CALLS: Final = 50
MIN_AGENTS: Final = 5
REPLAY_EVERY_S: Final = 60.0
REPLAY_S: Final = 240
STEPS: Final = 6
ANSWERED_RING_S: Final = 10
UNANSWERED_RING_S: Final = 15
WRAP_UP_S: Final = 5
OVER_LIMIT_FACTOR: Final = 0.75


class _Line(msgspec.Struct):
    """A call of the past in a replay."""

    talk_s: int
    """0: not answered."""
    rings_until: int = -1
    """Second of the replay; -1: it does not ring."""


class ImpactDialing:
    """As many lines per waiting agent as did best in a replay of the last calls."""

    interval_s: float | None = 1.0

    def __init__(self) -> None:
        self._random = Random(0)
        self._lines_per_agent = 1.0
        self._replayed_at = -REPLAY_EVERY_S
        self._ended: deque[tuple[float, bool]] = deque(maxlen=MAX_CALLS)
        """When each call rang no more, and whether a person had answered."""
        self._talks: deque[int] = deque(maxlen=MAX_CALLS)

    def place(self, view: QueueView, observations: Sequence[Observation]) -> Mapping[str, int]:
        """The campaigns share the calls by weight."""
        for seen in observations:
            if seen.what == "talk":
                self._talks.append(max(1, round(seen.seconds)))
            elif seen.what not in ("wrapup", "abandoned"):
                self._ended.append((seen.at, seen.what == "human"))
        answered = sum(campaign.answered_by_person for campaign in view.campaigns)
        abandoned = sum(campaign.abandoned for campaign in view.campaigns)
        limit = min((campaign.cap for campaign in view.campaigns), default=0.03)
        if view.now - self._replayed_at >= REPLAY_EVERY_S:
            self._replayed_at = view.now
            self._lines_per_agent = self._best_lines(view, limit)
        lines = self._lines_per_agent
        if answered and abandoned / answered > limit:
            lines = max(1.0, OVER_LIMIT_FACTOR * lines)
        ringing = sum(len(campaign.ringing) for campaign in view.campaigns)
        free = max(0, view.free - view.waiting)
        return share_by_weight(max(0, int(lines * free) - ringing), view)

    def _best_lines(self, view: QueueView, limit: float) -> float:
        agents = view.free + len(view.talking) + len(view.wrapping)
        calls = [is_answered for at, is_answered in self._ended if at >= view.now - HISTORY_S]
        if agents < MIN_AGENTS or len(calls) < MIN_CALLS or not any(calls) or not self._talks:
            return 1.0
        best, best_busy = 1.0, 0.0
        for step in range(1, STEPS + 1):
            lines = max(1.0, len(calls) / sum(calls) * step / STEPS)
            busy, drop_rate = self._replay(agents, calls, lines)
            if drop_rate <= limit and busy > best_busy:
                best, best_busy = lines, busy
        return best

    def _replay(self, agents: int, calls: Sequence[bool], lines: float) -> tuple[float, float]:
        """The share of time in which agents were on calls, and abandoned calls per answered one."""
        idle = [_Line(self._random.choice(self._talks) if is_answered else 0) for is_answered in calls]
        ringing: list[_Line] = []
        on_call: list[tuple[int, _Line]] = []
        answered = abandoned = busy_s = 0
        for second in range(REPLAY_S):
            idle += [line for until, line in on_call if until <= second]
            on_call = [(until, line) for until, line in on_call if until > second]
            over = [line for line in ringing if line.rings_until <= second]
            ringing = [line for line in ringing if line.rings_until > second]
            for line in over:
                answered += line.talk_s > 0
                if line.talk_s and len(on_call) < agents:
                    on_call.append((second + line.talk_s + WRAP_UP_S, line))
                else:
                    abandoned += line.talk_s > 0
                    idle.append(line)
            busy_s += len(on_call)
            for _ in range(min(len(idle), int(lines * (agents - len(on_call)) - len(ringing)))):
                line = idle.pop(self._random.randrange(len(idle)))
                line.rings_until = second + (ANSWERED_RING_S if line.talk_s else UNANSWERED_RING_S)
                ringing.append(line)
        return busy_s / (REPLAY_S * agents), abandoned / max(1, answered)
