"""What a dialer can know of the simulated world: the calls it placed itself, and the events that have arrived.

Nothing of a call's plan is read before it has happened. When events are late, the view is late too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamdialer.pacing.types import CampaignView, Observation, QueueView
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Id


class CampaignTracker:
    """One campaign, as the dialer knows it."""

    def __init__(self, campaign: Campaign, contacts: int | None) -> None:
        self.campaign = campaign
        self.contacts = contacts
        """Contacts not yet called; None: an endless list."""
        self.ringing: dict[str, float] = {}
        """When each unanswered call was placed, by id, oldest first."""
        self.live = 0
        self.answered_by_person = 0
        self.abandoned = 0

    @property
    def callable(self) -> int:
        """Calls that could be placed now."""
        room = max(0, self.campaign.max_concurrent_calls - self.live)
        return room if self.contacts is None else min(room, self.contacts)

    def view(self) -> CampaignView:
        campaign = self.campaign
        return CampaignView(
            id=str(campaign.id),
            ringing=list(self.ringing.values()),
            callable=self.callable,
            ratio=campaign.pacing_ratio,
            weight=campaign.weight,
            cap=campaign.abandon_cap,
            answered_by_person=self.answered_by_person,
            abandoned=self.abandoned,
        )


class DialerView:
    """One queue, as the dialer knows it. `on_change` is called whenever an event has arrived."""

    def __init__(
        self, campaigns: Iterable[CampaignTracker], lines: int, on_change: Callable[[], None]
    ) -> None:
        self.campaigns: dict[Id, CampaignTracker] = {tracker.campaign.id: tracker for tracker in campaigns}
        self.lines = lines
        self.live = 0
        """Calls placed and not known to have ended."""
        self.waiting = 0
        self.observations: list[Observation] = []
        self._on_change = on_change
        self._free: set[Id] = set()
        self._talking: dict[Id, float] = {}
        self._wrapping: dict[Id, float] = {}
        self._connecting: set[Id] = set()
        """Agents who got a person at once and whose own `agent_busy` event has not arrived yet."""

    def view(self, now: float) -> QueueView:
        return QueueView(
            now=now,
            free=len(self._free),
            waiting=self.waiting,
            talking=list(self._talking.values()),
            wrapping=list(self._wrapping.values()),
            lines=max(0, self.lines - self.live),
            campaigns=[tracker.view() for tracker in self.campaigns.values()],
        )

    def take_observations(self) -> list[Observation]:
        """The observations since the last time."""
        observations, self.observations = self.observations, []
        return observations

    def add_free_agent(self, agent: Id) -> None:
        """For agents who are free from the start, without an event."""
        self._free.add(agent)

    def add_call(self, call: Call) -> None:
        """The dialer placed the call: it knows without an event."""
        tracker = self.campaigns[call.campaign_id]
        tracker.ringing[call.id] = call.placed_at
        tracker.live += 1
        self.live += 1
        if tracker.contacts is not None:
            tracker.contacts -= 1

    def apply_call_event(self, at: float, kind: str, call: Call, agent: Agent | None) -> None:
        """`agent` is the one who takes an answered call at once."""
        campaign = str(call.campaign_id)
        tracker = self.campaigns[call.campaign_id]
        rang_s = at - call.placed_at
        if kind == "call_answered":
            del tracker.ringing[call.id]
            if call.plan.outcome == "machine":
                self.observations.append(Observation(at, "machine", rang_s, campaign))
            else:
                tracker.answered_by_person += 1
                self.observations.append(Observation(at, "human", rang_s, campaign))
                if agent is None:
                    self.waiting += 1
                else:
                    self._connecting.add(agent.id)
        elif kind != "call_ringing":
            tracker.live -= 1
            self.live -= 1
            if kind == "call_failed":
                del tracker.ringing[call.id]
                if call.disposition == "cancelled":  # that it would have been answered, or not, nobody learns
                    tracker.contacts = None if tracker.contacts is None else tracker.contacts + 1
                else:
                    self.observations.append(Observation(at, call.plan.outcome, rang_s, campaign))
            elif kind == "call_abandoned":
                self.waiting -= 1
                tracker.abandoned += 1
                self.observations.append(Observation(at, "abandoned", rang_s, campaign))
        self._on_change()

    def apply_agent_event(self, at: float, kind: str, agent: Id) -> None:
        self._free.discard(agent)
        if (since := self._talking.pop(agent, None)) is not None and kind == "agent_wrapup":
            self.observations.append(Observation(at, "talk", at - since))
        if (since := self._wrapping.pop(agent, None)) is not None and kind != "agent_offline":
            self.observations.append(Observation(at, "wrapup", at - since))
        if kind == "agent_available":
            self._free.add(agent)
        elif kind == "agent_wrapup":
            self._wrapping[agent] = at
        elif kind == "agent_busy":
            self._talking[agent] = at
            if agent in self._connecting:
                self._connecting.remove(agent)
            else:  # the agent took a person who was waiting
                self.waiting -= 1
        self._on_change()
