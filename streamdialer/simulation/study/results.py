"""What a simulated day was like: figures of the whole day, and its course minute by minute."""

from __future__ import annotations

import msgspec

from streamdialer.simulation.study.scenario import MINUTE_S
from streamdialer.simulation.world.auditor import CallCounts
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call

WORST_OVER_MIN = 30
MIN_ANSWERS = 20
"""A rate over fewer says nothing."""


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of the day; agents, ringing and theta as they are at its end."""

    agents: int
    """Logged in."""
    ringing: int
    """Calls placed and not yet answered or ended."""
    humans: int
    """People who answered during the minute."""
    abandoned: int
    """Those of them who hung up without an agent."""
    utilisation: float | None
    """Talk and wrap-up over logged-in time; None when nobody was logged in."""
    theta: float | None
    """The risk the policy accepts, where it has such a thing."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One day under one policy."""

    seed: int
    seconds: float
    occupancy: float
    """Talk and wrap-up of all agents over their logged-in time."""
    talk_share: float
    """Talk of all agents over their logged-in time."""
    abandon_rate: float
    """Abandoned over answered by a person."""
    worst_half_hour: float
    """The greatest abandon rate of any half hour that begins with a minute and has at least 20 answers."""
    total: CallCounts
    """calls = answered + machine + busy + failed + no_answer + unanswered."""
    campaigns: dict[str, CallCounts]
    unanswered: int
    """Calls that still rang at the end."""
    waiting: int
    """People who still waited at the end."""
    live: int
    """Calls that had not ended at the end."""
    mean_ringing: float
    """Unanswered calls, on average over time."""
    waited: int
    """People who got an agent, but not at once."""
    mean_wait_s: float
    """From the answer to the agent, over all who got one."""
    longest_wait_s: float
    decisions: int
    """How often the policy was asked."""
    course: list[Minute]


class Recorder:
    """Keeps what the auditor does not: times and courses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ring_s = 0.0
        self._wait_s = 0.0
        self._waited = 0
        self._longest_wait_s = 0.0
        self._humans: dict[int, int] = {}
        self._abandoned: dict[int, int] = {}
        self._course: list[tuple[int, int, float, float, float | None]] = []
        """Agents, ringing, work and logged-in seconds so far, theta: at the end of each minute."""

    def answered(self, call: Call) -> None:
        """A person or a machine picked up, now."""
        self._ring_s += self._world.now - call.placed_at
        if call.course.outcome == "human":
            minute = int(self._world.now // MINUTE_S)
            self._humans[minute] = self._humans.get(minute, 0) + 1

    def not_answered(self, call: Call) -> None:
        self._ring_s += self._world.now - call.placed_at

    def abandoned(self, call: Call) -> None:
        minute = int((call.answered_at or 0.0) // MINUTE_S)
        self._abandoned[minute] = self._abandoned.get(minute, 0) + 1

    def connected(self, call: Call) -> None:
        if wait_s := (call.connected_at or 0.0) - (call.answered_at or 0.0):
            self._wait_s += wait_s
            self._waited += 1
            self._longest_wait_s = max(self._longest_wait_s, wait_s)

    def minute_is_over(self, ringing: int, theta: float | None) -> None:
        """Takes down the minute that ends now."""
        now = self._world.now
        logged_in, work_s, there_s = 0, 0.0, 0.0
        for agent in self._world.agents.values():
            worked_s = agent.time_in_state("busy", now) + agent.time_in_state("wrapup", now)
            work_s += worked_s
            there_s += worked_s + agent.time_in_state("available", now)
            logged_in += agent.state != "offline"
        self._course.append((logged_in, ringing, work_s, there_s, theta))

    def result(self, ringing: int, decisions: int) -> Result:
        """All figures up to now."""
        world = self._world
        audit = world.audit(world.now)
        total = audit.total
        ring_s = self._ring_s + sum(
            world.now - call.placed_at for call in world.live.values() if call.answered_at is None
        )
        return Result(
            seed=world.seed,
            seconds=world.now,
            occupancy=audit.utilisation,
            talk_share=audit.talk_share,
            abandon_rate=total.abandon_rate,
            worst_half_hour=self._worst(),
            total=total,
            campaigns={str(campaign): tally for campaign, tally in audit.campaigns.items()},
            unanswered=ringing,
            waiting=sum(len(queue.waiting) for queue in world.queues.values()),
            live=len(world.live),
            mean_ringing=ring_s / world.now if world.now else 0.0,
            waited=self._waited,
            mean_wait_s=self._wait_s / total.connected if total.connected else 0.0,
            longest_wait_s=self._longest_wait_s,
            decisions=decisions,
            course=self._minutes(),
        )

    def _minutes(self) -> list[Minute]:
        minutes = []
        work_before_s = there_before_s = 0.0
        for number, (agents, ringing, work_s, there_s, theta) in enumerate(self._course):
            there = there_s - there_before_s
            minutes.append(
                Minute(
                    agents=agents,
                    ringing=ringing,
                    humans=self._humans.get(number, 0),
                    abandoned=self._abandoned.get(number, 0),
                    utilisation=(work_s - work_before_s) / there if there > 0 else None,
                    theta=theta,
                )
            )
            work_before_s, there_before_s = work_s, there_s
        return minutes

    def _worst(self) -> float:
        last = max(self._humans, default=0)
        worst = 0.0
        for begins in range(max(1, last - WORST_OVER_MIN + 2)):
            span = range(begins, begins + WORST_OVER_MIN)
            humans = sum(self._humans.get(minute, 0) for minute in span)
            if humans >= MIN_ANSWERS:
                worst = max(worst, sum(self._abandoned.get(minute, 0) for minute in span) / humans)
        return worst
