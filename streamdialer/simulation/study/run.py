"""A day in virtual time: the world of a scenario, and a policy that decides when its calls are placed.

The policy sees what production can see (`DialerView`), and decides when production does: at its own interval, or on
events, at most four times a second and at least every second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from streamdialer.model import AgentEventType, CallEventType
from streamdialer.pacing.types import Policy
from streamdialer.simulation.study.dialer_view import CampaignTracker, DialerView
from streamdialer.simulation.study.results import Recorder, Result
from streamdialer.simulation.study.scenario import MINUTE_S, Scenario
from streamdialer.simulation.study.shifts import QUEUE, enrol_agents
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Id
from streamdialer.simulation.world.outcomes import DrawsByCampaign

MIN_INTERVAL_S = 0.25
MAX_INTERVAL_S = 1.0


@runtime_checkable
class Oracle(Protocol):
    """A policy that reads the world itself: a bound for the others."""

    def attach(self, world: VirtualWorld) -> None:
        """Called before the day begins."""


class VirtualWorld(World):
    """A scenario's world and the dialer in it."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int = 0) -> None:
        config = scenario.world_config()
        self.campaign_draws = DrawsByCampaign(config, seed)
        super().__init__(config, seed, self.campaign_draws)
        self.scenario = scenario
        self.policy = policy
        self.recorder = Recorder(self)
        self.decisions = 0
        trackers = []
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
            trackers.append(CampaignTracker(campaign, part.contacts))
        self.dialer = DialerView(trackers, scenario.lines, self._dialer_changed)
        enrol_agents(self, scenario)
        for agent in self.agents:
            self.dialer.add_free_agent(agent)
        self._by_id: dict[str, Id] = {str(campaign): campaign for campaign in self.campaigns}
        self._placed = 0
        self._decided_at = -1.0
        self._decide_at: float | None = None
        self.schedule(MINUTE_S, self._end_minute, None)
        if isinstance(policy, Oracle):
            policy.attach(self)
        self._schedule_decision(0.0)

    @property
    def ringing(self) -> int:
        """Calls placed and neither answered nor ended."""
        return sum(call.answered_at is None for call in self.live.values())

    # Events are recorded, and reach the dialer at once or late.

    def emit_call_event(
        self,
        kind: CallEventType,
        call: Call,
        *,
        agent_id: Id | None = None,
        **fields: Any,  # noqa: ARG002
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
        at = self.now
        self._tell_dialer(lambda: self.dialer.apply_call_event(at, kind, call, agent))

    def emit_agent_event(self, kind: AgentEventType, agent: Agent, campaign_id: Id | None = None) -> None:  # noqa: ARG002
        if kind == "agent_busy" and agent.call is not None:
            self.recorder.connected(agent.call)
        at = self.now
        self._tell_dialer(lambda: self.dialer.apply_agent_event(at, kind, agent.id))

    def _tell_dialer(self, event: Callable[[], None]) -> None:
        if delay_s := self.scenario.event_delay_s:
            self.schedule(self.now + delay_s, lambda _: event(), None)
        else:
            event()

    # When the policy decides.

    def _dialer_changed(self) -> None:
        if self.policy.interval_s is None:
            self._schedule_decision(max(self.now, self._decided_at + MIN_INTERVAL_S))

    def _schedule_decision(self, at: float) -> None:
        if self._decide_at is None or at < self._decide_at:
            self._decide_at = at
            self.schedule(at, self._decide, at)

    def _decide(self, at: float) -> None:
        if at != self._decide_at:  # an earlier decision took its place
            return
        self._decide_at, self._decided_at = None, self.now
        self.decisions += 1
        placed = self.policy.place(self.dialer.view(self.now), self.dialer.take_observations())
        for name, calls in placed.items():
            campaign = self._by_id[name]
            for _ in range(min(calls, self.dialer.campaigns[campaign].callable)):
                self.place(campaign)
        for name, calls in getattr(self.policy, "take_back", {}).items():
            self._take_back(self._by_id[name], calls)
        self._schedule_decision(self.now + (self.policy.interval_s or MAX_INTERVAL_S))

    def place(self, campaign: Id) -> Call:
        self._placed += 1
        call = self.originate(
            self.now, campaign, self._placed, str(self._placed), None, self.scenario.calls.ring_out_s
        )
        self.dialer.add_call(call)
        return call

    def _take_back(self, campaign: Id, calls: int) -> None:
        """Hangs up those that ring and were placed first."""
        ringing = [
            call for call in self.live.values() if call.campaign_id == campaign and call.state == "ringing"
        ]
        for call in ringing[:calls]:
            self._end(call, "cancelled")

    def _end_minute(self, _: object) -> None:
        self.recorder.end_minute(self.ringing, getattr(self.policy, "risk_limit", None))
        self.schedule(self.now + MINUTE_S, self._end_minute, None)

    def run(self) -> Result:
        self._run_until(self.scenario.hours * 3600)
        return self.recorder.result(self.ringing, self.decisions)


def simulate(scenario: Scenario, policy: Policy, seed: int = 0) -> Result:
    """One day of the scenario under a new `policy`; the same seed gives the same result."""
    return VirtualWorld(scenario, policy, seed).run()
