"""A day in virtual time: the world of a scenario, and a policy that decides when its calls are placed.

The policy sees what production could see (`Watch`), at the instants production would ask it: at its own ticks, or on
events at most four times a second and every second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from streamdialer.model import AgentEventType, CallEventType
from streamdialer.pacing.types import Policy
from streamdialer.simulation.study.dialer_view import CampaignTracker, DialerView
from streamdialer.simulation.study.results import Recorder, Result
from streamdialer.simulation.study.scenario import MINUTE_S, Scenario
from streamdialer.simulation.study.shifts import QUEUE, enrol_agents
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Disposition, Id
from streamdialer.simulation.world.outcomes import DrawsByCampaign

SHORTEST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 1.0
Progress = Callable[[float], None]
"""Told the share of the day that is over."""


@runtime_checkable
class Oracle(Protocol):
    """A policy that is told what nobody can know: a bound for the others."""

    def attach(self, world: VirtualWorld) -> None:
        """Before the day begins."""


class VirtualWorld(World):
    """A scenario's world and the dialer in it."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int = 0) -> None:
        config = scenario.world_config()
        self.stock = DrawsByCampaign(config, seed)
        super().__init__(config, seed, self.stock)
        self.scenario = scenario
        self.policy = policy
        self.recorder = Recorder(self)
        self.decisions = 0
        watches = []
        for number, part in enumerate(scenario.campaigns, 1):
            campaign = Campaign(
                id=number,
                queue_name=QUEUE,
                status="active",
                pacing_ratio=part.ratio,
                weight=part.weight,
                abandon_cap=part.cap,
                max_concurrent_calls=part.max_concurrent_calls,
            )
            self.add_campaign(campaign)
            watches.append(CampaignTracker(campaign, part.contacts))
        self.watch = DialerView(watches, scenario.lines, self._noticed)
        enrol_agents(self, scenario)
        for agent in self.agents:
            self.watch.agent_is_free(agent)
        self._by_id: dict[str, Id] = {str(campaign): campaign for campaign in self.campaigns}
        self._placed = 0
        self._asked_at = -1.0
        self._ask_at: float | None = None
        self.at(MINUTE_S, self._minute, None)
        if isinstance(policy, Oracle):
            policy.attach(self)
        self._ask_by(0.0)

    @property
    def ringing(self) -> int:
        """Calls placed and neither answered nor ended."""
        return sum(call.answered_at is None for call in self.live.values())

    # What happens is noted, and heard at once or late.

    def tell_call(
        self,
        kind: CallEventType,
        call: Call,
        *,
        queue: str | None = None,  # noqa: ARG002
        agent_id: Id | None = None,
        answered_by: str | None = None,  # noqa: ARG002
        duration: float | None = None,  # noqa: ARG002
        disposition: Disposition | None = None,  # noqa: ARG002
        cause: int | None = None,  # noqa: ARG002
    ) -> None:
        if kind == "call_ringing":
            return
        if kind == "call_answered":
            self.recorder.answered(call)
        elif kind == "call_failed":
            self.recorder.not_answered(call)
        elif kind == "call_abandoned":
            self.recorder.abandoned(call)
        agent = None if agent_id is None else self.agents[agent_id]
        if delay_s := self.scenario.news_delay_s:
            self.watch.delay(self.now, kind, call, agent)
            self.at(self.now + delay_s, self._news_arrives, None)
        else:
            self.watch.heard_of_call(self.now, kind, call, agent)

    def tell_agent(self, kind: AgentEventType, agent: Agent, campaign_id: Id | None = None) -> None:  # noqa: ARG002
        if kind == "agent_busy" and agent.call is not None:
            self.recorder.connected(agent.call)
        if delay_s := self.scenario.news_delay_s:
            self.watch.delay(self.now, kind, None, agent)
            self.at(self.now + delay_s, self._news_arrives, None)
        else:
            self.watch.heard_of_agent(self.now, kind, agent.id)

    def _news_arrives(self, _: object) -> None:
        self.watch.deliver()

    # When the policy is asked.

    def _noticed(self) -> None:
        if self.policy.every_s is None:
            self._ask_by(max(self.now, self._asked_at + SHORTEST_PAUSE_S))

    def _ask_by(self, at: float) -> None:
        if self._ask_at is None or at < self._ask_at:
            self._ask_at = at
            self.at(at, self._ask, at)

    def _ask(self, at: float) -> None:
        if at != self._ask_at:  # it was asked earlier instead
            return
        self._ask_at, self._asked_at = None, self.now
        self.decisions += 1
        wanted = self.policy.place(self.watch.view(self.now), self.watch.take_seen())
        for name, calls in wanted.items():
            campaign = self._by_id[name]
            for _ in range(min(calls, self.watch.campaigns[campaign].callable)):
                self.place(campaign)
        self._ask_by(self.now + (self.policy.every_s or LONGEST_PAUSE_S))

    def place(self, campaign: Id) -> Call:
        """Place the campaign's next call, now."""
        self._placed += 1
        call = self.originate(
            self.now, campaign, self._placed, str(self._placed), None, self.scenario.calls.ring_out_s
        )
        self.watch.placed(call)
        return call

    def _minute(self, _: object) -> None:
        self.recorder.minute_is_over(self.ringing, getattr(self.policy, "theta", None))
        self.at(self.now + MINUTE_S, self._minute, None)

    # The day.

    def run(self, progress: Progress | None = None) -> Result:
        """The whole day; returns what it was like."""
        end = self.scenario.hours * 3600
        while self.now < end:
            self._run(min(end, self.now + 10 * MINUTE_S))
            if progress is not None:
                progress(self.now / end)
        return self.recorder.result(self.ringing, self.decisions)


def simulate(scenario: Scenario, policy: Policy, seed: int = 0, progress: Progress | None = None) -> Result:
    """One day of the scenario under a new `policy`; the same seed gives the same result."""
    return VirtualWorld(scenario, policy, seed).run(progress)
