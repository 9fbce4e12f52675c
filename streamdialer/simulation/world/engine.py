"""The simulated world: phones ring, people answer or do not, agents talk. A pure discrete-event model.

Time is in seconds of life and is always passed in. So the same world runs behind HTTP at a multiple of the wall clock,
and in virtual time as fast as the processor allows. It uses no clock, no network and no Redis.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, TypeVar

import msgspec

from streamdialer.model import AgentEventType, CallEventType
from streamdialer.simulation.world.agent_matching import served_calls
from streamdialer.simulation.world.auditor import Audit, Auditor
from streamdialer.simulation.world.config import WorldConfig
from streamdialer.simulation.world.entities import (
    Agent,
    Call,
    CallOutcome,
    Campaign,
    Contact,
    Disposition,
    EventData,
    Id,
    Queue,
    SimEvent,
)
from streamdialer.simulation.world.outcomes import DrawsByContact, DrawSource, plan_call

Subject = TypeVar("Subject")
Q850_CAUSE: dict[Disposition, int] = {"busy": 17, "failed": 27, "no_answer": 19, "cancelled": 16}


class World:
    """Campaigns, contacts, queues with agents, and the calls between them."""

    def __init__(
        self,
        config: WorldConfig | None = None,
        seed: int = 0,
        draws: DrawSource | None = None,
        *,
        call_ids: str = "call",
    ) -> None:
        """`call_ids`: how the ids of calls begin; another world that the same dialer knows has others."""
        self.config = config or WorldConfig()
        self.names_attempts = False
        """Whether the events of each contact's first, third … call name the attempt, as those of Asterisk do."""
        self.seed = seed
        self.call_ids = call_ids
        self.draws = draws or DrawsByContact(self.config, seed)
        self.now = 0.0
        self.campaigns: dict[Id, Campaign] = {}
        self.contacts: dict[int, Contact] = {}
        self.queues: dict[str, Queue] = {}
        self.agents: dict[Id, Agent] = {}
        self.live: dict[str, Call] = {}
        """Calls placed and not ended, by id."""
        self.auditor = Auditor()
        self._contacts_by_campaign: dict[Id, list[Contact]] = {}
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order: Iterator[int] = count()
        self._events: list[SimEvent] = []

    def add_campaign(self, campaign: Campaign) -> None:
        self.campaigns[campaign.id] = campaign
        self._contacts_by_campaign.setdefault(campaign.id, [])
        self.queue(campaign.queue_name)

    def add_contacts(self, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            self.contacts[contact.id] = contact
            for campaign_id in contact.campaign_ids:
                self._contacts_by_campaign.setdefault(campaign_id, []).append(contact)

    def list_also_in(self, contact: Contact, campaign_id: Id) -> None:
        """The contact stands in the list of a further campaign."""
        contact.also_in += (campaign_id,)
        self._contacts_by_campaign[campaign_id].append(contact)

    def add_agent(
        self, agent_id: Id, queue: str, *, also_in: Iterable[str] = (), is_logged_in: bool = True
    ) -> Agent:
        """An agent who is free from now on, without an event; with `is_logged_in` False one who logs in later."""
        agent = Agent(id=agent_id, queue=queue, also_in=tuple(also_in), since=self.now)
        self.agents[agent_id] = agent
        for name in agent.queues:
            self.queue(name).agents.append(agent)
        if is_logged_in:
            self._idle(agent)
        return agent

    def queue(self, name: str) -> Queue:
        """The queue of that name; added when there is none."""
        if name not in self.queues:
            self.queues[name] = Queue(name=name)
        return self.queues[name]

    def contacts_of(self, campaign_id: Id) -> list[Contact]:
        return self._contacts_by_campaign.get(campaign_id, [])

    def originate(
        self,
        now: float,
        campaign_id: Id,
        contact_id: Id,
        phone_number: str,
        key: str | None = None,
        timeout: float = 30.0,
    ) -> Call:
        """Places a call that rings `timeout` seconds of life at most; KeyError for an unknown campaign."""
        self._run_until(now)
        campaign = self.campaigns[campaign_id]
        ordinal = self.auditor.per_contact[contact_id]
        call = Call(
            id=f"{self.call_ids}-{contact_id}-{ordinal}",
            campaign_id=campaign_id,
            contact_id=contact_id,
            phone_number=phone_number,
            key=key,
            queue="" if campaign.is_agentless else campaign.queue_name,
            ordinal=ordinal,
            placed_at=self.now,
            plan=self._plan(campaign_id, contact_id, ordinal, timeout),
        )
        self.live[call.id] = call
        self.auditor.placed(call, campaign)
        if self._is_progressive(call.queue) and self._lacks_an_agent(call.queue):
            self.auditor.lacks_an_agent(call)
        is_refused = call.plan.outcome in ("busy", "failed")
        self.schedule(self.now + call.plan.setup_s, self._refuse if is_refused else self._ring, call)
        return call

    def _is_progressive(self, queue: str) -> bool:
        """Whether every call of the queue must find a free agent."""
        modes = {
            campaign.dial_mode
            for campaign in self.campaigns.values()
            if campaign.queue_name == queue and not campaign.is_agentless
        }
        return bool(queue) and modes == {"progressive"}

    def _lacks_an_agent(self, name: str) -> bool:
        """Whether the queues that share agents with this one have more unanswered calls than free agents."""
        names, unanswered = self._sharing_queues(name), self.auditor.unanswered
        free = {agent.id: agent.queues for queue in names for agent in self.queue(queue).free}
        calls = [queue for queue in names if self._is_progressive(queue) for _ in range(unanswered[queue])]
        return (len(free) if len(names) == 1 else served_calls(calls, free)) < len(calls)

    def _sharing_queues(self, name: str) -> list[str]:
        """The queue, and those that share agents with it, directly or over further queues."""
        names = [name]
        for queue in names:
            teams = {agent.queues for agent in self.queue(queue).agents if agent.also_in}
            names += dict.fromkeys(other for team in teams for other in team if other not in names)
        return names

    def _plan(self, campaign_id: Id, contact_id: Id, ordinal: int, timeout: float) -> CallOutcome:
        draws = self.draws.take(campaign_id, contact_id, ordinal)
        plan = plan_call(self.config, draws, timeout, self.now)
        if self.config.lines is not None and len(self.live) >= self.config.lines:
            return msgspec.structs.replace(plan, outcome="busy", ring_end_s=plan.setup_s)
        return plan

    def take_back(self, now: float, key: str) -> None:
        """Hangs up the call that was placed with the key, if it has not been answered."""
        self._run_until(now)
        for call in list(self.live.values()):
            if call.key == key and call.state in ("placed", "ringing"):
                self._end(call, "cancelled")

    def advance(self, now: float) -> list[SimEvent]:
        """The events up to `now` that were not returned before, in order."""
        self._run_until(now)
        events, self._events = self._events, []
        return events

    def next_at(self) -> float | None:
        """When something happens next; None when nothing happens by itself."""
        if self._events:
            return self.now
        return self._heap[0][0] if self._heap else None

    def schedule(self, at: float, action: Callable[[Subject], None], subject: Subject) -> None:
        """Calls `action(subject)` at `at`, after everything that is already due then."""
        heapq.heappush(self._heap, (at, next(self._order), action, subject))

    def log_in(self, now: float, agent_id: Id) -> None:
        """The agent takes calls from `now` on."""
        self._run_until(now)
        agent = self.agents[agent_id]
        agent.leaving = False
        if agent.state == "offline":
            self._take_next_or_idle(agent)

    def log_out(self, now: float, agent_id: Id) -> None:
        """The agent leaves: at once when free, otherwise after the call and its wrap-up."""
        self._run_until(now)
        agent = self.agents[agent_id]
        agent.leaving = agent.state != "offline"
        if agent.state == "available":
            self._take(agent)
            self.auditor.taken(agent)
            self._leave(agent)

    def drop_agent(self, now: float, agent_id: Id) -> None:
        """The agent is gone at once, whatever they were doing; their call ends."""
        self._run_until(now)
        agent = self.agents[agent_id]
        if agent.state == "available":
            self.log_out(now, agent_id)
        elif agent.state != "offline":
            if agent.state == "busy" and agent.call is not None:
                self._end(agent.call, "completed")
            self._leave(agent)

    def audit(self, now: float) -> Audit:
        self._run_until(now)
        return self.auditor.audit(
            self.now, self.agents.values(), (contact.status for contact in self.contacts.values())
        )

    def _run_until(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            self.now, _, action, subject = heapq.heappop(self._heap)
            action(subject)
        self.now = max(self.now, now)

    # The steps of a call.

    def _refuse(self, call: Call) -> None:
        if call.state != "ended":
            self._end(call, "busy" if call.plan.outcome == "busy" else "failed")

    def _ring(self, call: Call) -> None:
        if call.state == "ended":  # taken back
            return
        call.state = "ringing"
        self.emit_call_event("call_ringing", call)
        is_unanswered = call.plan.outcome == "no_answer"
        at = call.placed_at + call.plan.ring_end_s
        self.schedule(at, self._ring_out if is_unanswered else self._answer, call)

    def _ring_out(self, call: Call) -> None:
        if call.state != "ended":
            self._end(call, "no_answer")

    def _answer(self, call: Call) -> None:
        if call.state == "ended":
            return
        call.answered_at = self.now
        self.auditor.picked_up(call)
        queue = self.queue(call.queue)
        if call.plan.outcome == "machine":
            call.state = "machine"
            self.emit_call_event("call_answered", call, answered_by="machine")
            self.schedule(self.now + call.plan.talk_s, self._machine_hangs_up, call)
        elif not call.queue:
            self.emit_call_event("call_answered", call, answered_by="human")
            self._talk(call)
        elif queue.free:
            # agents of other queues, too, are left for these; `min` keeps the longest idle first
            agent = min(queue.free, key=lambda agent: len(agent.also_in))
            self._take(agent)
            self.emit_call_event(
                "call_answered", call, answered_by="human", agent_id=agent.id, queue=queue.name
            )
            self._connect(call, agent)
        else:
            call.state = "waiting"
            self.emit_call_event("call_answered", call, answered_by="human", queue=queue.name)
            queue.waiting.append(call)
            self.schedule(self.now + self.config.patience_s, self._abandon, call)

    def _machine_hangs_up(self, call: Call) -> None:
        self._end(call, "machine")

    def _abandon(self, call: Call) -> None:
        if call.state == "waiting":
            self.queues[call.queue].waiting.remove(call)
            self._end(call, "abandoned")

    def _connect(self, call: Call, agent: Agent) -> None:
        call.agent_id = agent.id
        agent.call = call
        agent.set_state("busy", self.now)
        self.auditor.taken(agent)
        self._talk(call)
        self.emit_agent_event("agent_busy", agent, campaign_id=call.campaign_id)

    def _talk(self, call: Call) -> None:
        """To an agent, or of an agentless campaign to a message or a voice bot."""
        call.state, call.connected_at = "talking", self.now
        self.auditor.connected(call)
        self.schedule(self.now + call.plan.talk_s, self._hang_up, call)

    def _hang_up(self, call: Call) -> None:
        if call.state != "talking":  # cut off before
            return
        self._end(call, "completed")
        agent = self.agents[call.agent_id] if call.agent_id is not None else None
        if agent is not None:
            agent.set_state("wrapup", self.now)
            self.emit_agent_event("agent_wrapup", agent)
            self.schedule(self.now + call.plan.wrap_up_s, self._wrapped_up, call)

    def _wrapped_up(self, call: Call) -> None:
        agent = self.agents[call.agent_id] if call.agent_id is not None else None
        if agent is not None and agent.call is call:
            self._take_next_or_idle(agent)

    def _end(self, call: Call, disposition: Disposition) -> None:
        call.state, call.disposition, call.ended_at = "ended", disposition, self.now
        del self.live[call.id]
        self.auditor.ended(call)
        if disposition in ("completed", "machine"):
            duration = round(self.now - (call.answered_at or self.now), 3)
            shown = None if disposition == "completed" else disposition
            self.emit_call_event("call_completed", call, duration=duration, disposition=shown)
        elif disposition == "abandoned":
            self.emit_call_event("call_abandoned", call)
        else:
            self.emit_call_event("call_failed", call, disposition=disposition, cause=Q850_CAUSE[disposition])

    # The steps of an agent.

    def _take_next_or_idle(self, agent: Agent) -> None:
        waiting = next((queue.waiting for queue in map(self.queue, agent.queues) if queue.waiting), None)
        if agent.leaving:
            self._leave(agent)
        elif waiting:
            self._connect(waiting.popleft(), agent)
        else:
            has_worked = agent.state == "wrapup"
            agent.call = None
            self._idle(agent)
            if has_worked:
                self.auditor.freed(agent, self.now)
            self.emit_agent_event("agent_available", agent)

    def _idle(self, agent: Agent) -> None:
        agent.set_state("available", self.now)
        for name in agent.queues:
            self.queue(name).free.append(agent)

    def _take(self, agent: Agent) -> None:
        for name in agent.queues:
            self.queue(name).free.remove(agent)

    def _leave(self, agent: Agent) -> None:
        agent.leaving, agent.call = False, None
        agent.set_state("offline", self.now)
        self.emit_agent_event("agent_offline", agent)

    # The events. Both methods are called for everything that happens; a subclass may handle the events itself.

    def emit_call_event(
        self, kind: CallEventType, call: Call, *, agent_id: Id | None = None, **fields: Any
    ) -> None:
        """`fields` are others of EventData."""
        data = EventData(
            campaign_id=call.campaign_id,
            contact_id=call.contact_id,
            call_id=call.id,
            attempt_id=call.key if self.names_attempts and call.ordinal % 2 == 0 else None,
            agent_id=agent_id,
            **fields,
        )
        self._events.append(SimEvent(self.now, kind, data))

    def emit_agent_event(self, kind: AgentEventType, agent: Agent, campaign_id: Id | None = None) -> None:
        data = EventData(agent_id=agent.id, queue=agent.queue, campaign_id=campaign_id)
        self._events.append(SimEvent(self.now, kind, data))
