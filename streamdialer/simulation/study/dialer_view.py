"""What a dialer can know of the simulated world: what it placed itself, and what the news said so far.

Nothing of a call's course is looked at before it has happened. News may be late: then all of this is late too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from streamdialer.model import AgentEventType, CallEventType
from streamdialer.pacing.types import CampaignView, Observation, QueueView
from streamdialer.simulation.world.entities import Agent, Call, Campaign, Id

MAX_CALLABLE = 1_000_000_000
"""Contacts ready where the supply is endless."""
_Late = tuple[float, AgentEventType | CallEventType, Call | None, Agent | None]


class CampaignTracker:
    """One campaign as the dialer knows it."""

    def __init__(self, campaign: Campaign, contacts: int | None) -> None:
        self.campaign = campaign
        self.contacts = contacts
        """Contacts not yet called; None: endless."""
        self.ringing: dict[str, float] = {}
        """When each unanswered call was placed, by id, oldest first."""
        self.live = 0
        self.humans = 0
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
            humans=self.humans,
            abandoned=self.abandoned,
        )


class DialerView:
    """One queue as the dialer knows it. `noticed` is called whenever news has arrived."""

    def __init__(
        self, campaigns: Iterable[CampaignTracker], lines: int | None, noticed: Callable[[], None]
    ) -> None:
        self.campaigns: dict[Id, CampaignTracker] = {each.campaign.id: each for each in campaigns}
        self.lines = MAX_CALLABLE if lines is None else lines
        self.live = 0
        """Calls placed and not known to have ended."""
        self.waiting = 0
        self.seen: list[Observation] = []
        self._noticed = noticed
        self._free: set[Id] = set()
        self._talking: dict[Id, float] = {}
        self._wrapping: dict[Id, float] = {}
        self._expected: set[Id] = set()
        """Agents a person was put through to whose own news is still to come."""
        self._late: deque[_Late] = deque()

    def view(self, now: float) -> QueueView:
        """The queue as it is known at `now`."""
        return QueueView(
            now=now,
            free=len(self._free),
            waiting=self.waiting,
            talking=list(self._talking.values()),
            wrapping=list(self._wrapping.values()),
            lines=max(0, self.lines - self.live),
            campaigns=[each.view() for each in self.campaigns.values()],
        )

    def take_seen(self) -> list[Observation]:
        """What was seen since this was asked last."""
        seen, self.seen = self.seen, []
        return seen

    def agent_is_free(self, agent: Id) -> None:
        """Known from the start, without news of it."""
        self._free.add(agent)

    def placed(self, call: Call) -> None:
        """The dialer placed the call: it needs no news to know."""
        watch = self.campaigns[call.campaign_id]
        watch.ringing[call.id] = call.placed_at
        watch.live += 1
        self.live += 1
        if watch.contacts is not None:
            watch.contacts -= 1

    def delay(
        self, at: float, kind: CallEventType | AgentEventType, call: Call | None, agent: Agent | None
    ) -> None:
        """News that arrives only at the next `let_through`."""
        self._late.append((at, kind, call, agent))

    def deliver(self) -> None:
        """The oldest news held back arrives."""
        at, kind, call, agent = self._late.popleft()
        if call is not None:
            self.heard_of_call(at, kind, call, agent)
        elif agent is not None:
            self.heard_of_agent(at, kind, agent.id)

    def heard_of_call(self, at: float, kind: str, call: Call, agent: Agent | None) -> None:
        """News of a call; `agent` is the one an answered person was put through to at once."""
        campaign = str(call.campaign_id)
        watch = self.campaigns[call.campaign_id]
        rang_s = at - call.placed_at
        if kind == "call_answered":
            del watch.ringing[call.id]
            if call.course.outcome == "machine":
                self.seen.append(Observation(at, "machine", rang_s, campaign))
            else:
                watch.humans += 1
                self.seen.append(Observation(at, "human", rang_s, campaign))
                if agent is None:
                    self.waiting += 1
                else:
                    self._expected.add(agent.id)
        elif kind != "call_ringing":
            watch.live -= 1
            self.live -= 1
            if kind == "call_failed":
                del watch.ringing[call.id]
                self.seen.append(Observation(at, call.course.outcome, rang_s, campaign))
            elif kind == "call_abandoned":
                self.waiting -= 1
                watch.abandoned += 1
                self.seen.append(Observation(at, "abandoned", rang_s, campaign))
        self._noticed()

    def heard_of_agent(self, at: float, kind: str, agent: Id) -> None:
        """News of an agent."""
        self._free.discard(agent)
        if (since := self._talking.pop(agent, None)) is not None and kind == "agent_wrapup":
            self.seen.append(Observation(at, "talk", at - since))
        if (since := self._wrapping.pop(agent, None)) is not None and kind != "agent_offline":
            self.seen.append(Observation(at, "wrapup", at - since))
        if kind == "agent_available":
            self._free.add(agent)
        elif kind == "agent_wrapup":
            self._wrapping[agent] = at
        elif kind == "agent_busy":
            self._talking[agent] = at
            if agent in self._expected:
                self._expected.remove(agent)
            else:  # they took a person who had been waiting
                self.waiting -= 1
        self._noticed()
