"""The results of a simulated day: figures of the whole day, and minute by minute."""

from __future__ import annotations

import msgspec

from streamdialer.simulation.study.scenario import MINUTE_S
from streamdialer.simulation.world.auditor import CallCounts
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Call

WORST_WINDOW_MIN = 30
MIN_ANSWERS = 20
"""A rate over fewer answered calls says nothing."""


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of the day; agents, ringing calls and risk limit are those at its end."""

    agents: int
    """Logged in."""
    ringing: int
    """Calls placed and neither answered nor ended."""
    answered_by_person: int
    """During the minute."""
    abandoned: int
    """Of those, how many were abandoned."""
    occupancy: float | None
    """Talk and wrap-up over logged-in time; None when no agent was logged in."""
    risk_limit: float | None
    """The risk the policy accepts; None for a policy without a risk limit."""


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
    """Highest abandon rate of a half hour that begins with a full minute and has at least 20 answered calls."""
    total: CallCounts
    campaigns: dict[str, CallCounts]
    unanswered: int
    """Calls that were ringing at the end of the day."""
    waiting: int
    """People who were waiting for an agent at the end of the day."""
    live: int
    """Calls that had not ended at the end of the day."""
    mean_ringing: float
    """Average number of unanswered calls."""
    waited: int
    """People who got an agent, but not at once."""
    mean_wait_s: float
    """From the answer to the agent, over all people who got one."""
    longest_wait_s: float
    decisions: int
    minutes: list[Minute]


class Recorder:
    """Records what the auditor does not: waiting times, and figures minute by minute."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ring_s = 0.0
        self._wait_s = 0.0
        self._waited = 0
        self._longest_wait_s = 0.0
        self._answered_by_person: dict[int, int] = {}
        self._abandoned: dict[int, int] = {}
        self._minutes_so_far: list[tuple[int, int, float, float, float | None]] = []
        """At the end of each minute: agents, ringing calls, work and logged-in seconds so far, risk limit."""

    def answered(self, call: Call) -> None:
        """A person or a machine answered now."""
        self._ring_s += self._world.now - call.placed_at
        if call.plan.outcome == "human":
            minute = int(self._world.now // MINUTE_S)
            self._answered_by_person[minute] = self._answered_by_person.get(minute, 0) + 1

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

    def end_minute(self, ringing: int, risk_limit: float | None) -> None:
        now = self._world.now
        logged_in, work_s, logged_in_s = 0, 0.0, 0.0
        for agent in self._world.agents.values():
            worked_s = agent.time_in_state("busy", now) + agent.time_in_state("wrapup", now)
            work_s += worked_s
            logged_in_s += worked_s + agent.time_in_state("available", now)
            logged_in += agent.state != "offline"
        self._minutes_so_far.append((logged_in, ringing, work_s, logged_in_s, risk_limit))

    def result(self, ringing: int, decisions: int) -> Result:
        world = self._world
        audit = world.audit(world.now)
        total = audit.total
        ring_s = self._ring_s + sum(
            world.now - call.placed_at for call in world.live.values() if call.answered_at is None
        )
        return Result(
            seed=world.seed,
            seconds=world.now,
            occupancy=audit.occupancy,
            talk_share=audit.talk_share,
            abandon_rate=total.abandon_rate,
            worst_half_hour=self._worst_half_hour(),
            total=total,
            campaigns={str(campaign): counts for campaign, counts in audit.campaigns.items()},
            unanswered=ringing,
            waiting=sum(len(queue.waiting) for queue in world.queues.values()),
            live=len(world.live),
            mean_ringing=ring_s / world.now if world.now else 0.0,
            waited=self._waited,
            mean_wait_s=self._wait_s / total.connected if total.connected else 0.0,
            longest_wait_s=self._longest_wait_s,
            decisions=decisions,
            minutes=self._minutes(),
        )

    def _minutes(self) -> list[Minute]:
        minutes = []
        work_before_s = logged_in_before_s = 0.0
        for number, (agents, ringing, work_s, logged_in_s, risk_limit) in enumerate(self._minutes_so_far):
            minute_s = logged_in_s - logged_in_before_s
            minutes.append(
                Minute(
                    agents=agents,
                    ringing=ringing,
                    answered_by_person=self._answered_by_person.get(number, 0),
                    abandoned=self._abandoned.get(number, 0),
                    occupancy=(work_s - work_before_s) / minute_s if minute_s > 0 else None,
                    risk_limit=risk_limit,
                )
            )
            work_before_s, logged_in_before_s = work_s, logged_in_s
        return minutes

    def _worst_half_hour(self) -> float:
        last = max(self._answered_by_person, default=0)
        worst = 0.0
        for begins in range(max(1, last - WORST_WINDOW_MIN + 2)):
            span = range(begins, begins + WORST_WINDOW_MIN)
            answered = sum(self._answered_by_person.get(minute, 0) for minute in span)
            if answered >= MIN_ANSWERS:
                worst = max(worst, sum(self._abandoned.get(minute, 0) for minute in span) / answered)
        return worst
