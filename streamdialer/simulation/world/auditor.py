"""The auditor counts calls and finds what a dialer did wrong: only the world knows which phones ring."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable

import msgspec

from streamdialer.simulation.world.entities import Agent, Call, Campaign, Id

MAX_FINDINGS = 50
MAX_REACTIONS = 10_000
FINAL = frozenset({"completed", "machine"})
"""Dispositions after which the contact must not be dialed again."""


class CallCounts(msgspec.Struct, kw_only=True):
    """Calls by outcome.

    originates = answered_by_person + machine + busy + failed + no_answer + calls still unanswered.
    """

    originates: int = 0
    answered_by_person: int = 0
    """= connected + abandoned + still waiting for an agent."""
    connected: int = 0
    """An agent took the call."""
    abandoned: int = 0
    """No agent was free in time."""
    completed: int = 0
    """Connected, and the talk is over."""
    machine: int = 0
    busy: int = 0
    failed: int = 0
    no_answer: int = 0
    talk_s: float = 0.0
    """Of the completed calls."""

    @property
    def abandon_rate(self) -> float:
        """Abandoned over answered by a person; 0 when no person answered."""
        return self.abandoned / self.answered_by_person if self.answered_by_person else 0.0


class AgentTime(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent spent the time, seconds of life."""

    talk_s: float
    wrap_up_s: float
    idle_s: float

    @property
    def logged_in_s(self) -> float:
        return self.talk_s + self.wrap_up_s + self.idle_s


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All figures at one instant."""

    at: float
    """Seconds of life."""
    total: CallCounts
    campaigns: dict[Id, CallCounts]
    live_calls: int
    unanswered: int
    """Placed, and neither answered nor ended."""
    double_dials: int
    """Originates to a phone with a live call, or with a key that was used before."""
    calls_to_live_phones: int
    """Of those, to a phone that was ringing or talking because of an earlier call: a person was called twice."""
    repeated_keys: dict[str, int]
    """Keys used more than once, and how often."""
    dialed_after_final: int
    """Originates to contacts whose earlier call had a final result."""
    over_max_retries: int
    """Contacts with more originates than the campaign's `max_retries`."""
    max_live_calls: dict[Id, int]
    """Per campaign, the most live calls at one time."""
    max_unanswered: dict[str, int]
    """Per queue, the most unanswered calls at one time."""
    agents: dict[Id, AgentTime]
    occupancy: float
    """Talk and wrap-up of all agents over their logged-in time."""
    talk_share: float
    """Talk of all agents over their logged-in time."""
    reaction_s: list[float]
    """From an agent becoming free after wrap-up to the next originate for the queue."""
    contacts: dict[str, int]
    """Contacts of the backend by status."""
    findings: list[str]
    """The first violations, in words."""
    events_waiting: int = 0
    """Events not yet written to Redis."""


class Auditor:
    """The world calls it for every change of a call or an agent."""

    def __init__(self) -> None:
        self.campaigns: defaultdict[Id, CallCounts] = defaultdict(CallCounts)
        self.per_contact: Counter[Id] = Counter()
        self.per_key: Counter[str] = Counter()
        self.double_dials = 0
        self.calls_to_live_phones = 0
        self.dialed_after_final = 0
        self.findings: list[str] = []
        self.reaction_s: deque[float] = deque(maxlen=MAX_REACTIONS)
        self._final_contacts: set[Id] = set()
        self._over_max_retries: set[Id] = set()
        self._live_phones: Counter[str] = Counter()
        self._live: Counter[Id] = Counter()
        self._unanswered: Counter[str] = Counter()
        self._max_live: Counter[Id] = Counter()
        self._max_unanswered: Counter[str] = Counter()
        self._freed: defaultdict[str, dict[Id, float]] = defaultdict(dict)

    def placed(self, call: Call, campaign: Campaign) -> None:
        """Counts an originate and records what is wrong with it."""
        contact = call.contact_id
        if self._live_phones[call.phone_number]:
            self.double_dials += 1
            self.calls_to_live_phones += 1
            self._add_finding(call, "the phone has a live call")
        elif call.key and call.key in self.per_key:
            self.double_dials += 1
            self._add_finding(call, "the key was used before")
        if contact in self._final_contacts:
            self.dialed_after_final += 1
            self._add_finding(call, "an earlier call had a final result")
        self.per_contact[contact] += 1
        if self.per_contact[contact] > campaign.max_retries:
            self._over_max_retries.add(contact)
            self._add_finding(call, f"call {self.per_contact[contact]} of at most {campaign.max_retries}")
        if call.key:
            self.per_key[call.key] += 1
        self.campaigns[call.campaign_id].originates += 1
        self._live_phones[call.phone_number] += 1
        self._live[call.campaign_id] += 1
        self._unanswered[call.queue] += 1
        self._max_live[call.campaign_id] = max(self._max_live[call.campaign_id], self._live[call.campaign_id])
        self._max_unanswered[call.queue] = max(self._max_unanswered[call.queue], self._unanswered[call.queue])
        freed = self._freed.pop(call.queue, {})
        self.reaction_s.extend(call.placed_at - at for at in freed.values())

    def picked_up(self, call: Call) -> None:
        """A person or a machine answered."""
        self._unanswered[call.queue] -= 1
        counts = self.campaigns[call.campaign_id]
        if call.plan.outcome == "machine":
            counts.machine += 1
        else:
            counts.answered_by_person += 1

    def connected(self, call: Call) -> None:
        self.campaigns[call.campaign_id].connected += 1

    def ended(self, call: Call) -> None:
        """The call has ended; its disposition and times are set."""
        counts = self.campaigns[call.campaign_id]
        match call.disposition:
            case "completed":
                counts.completed += 1
                counts.talk_s += (call.ended_at or 0.0) - (call.connected_at or 0.0)
            case "abandoned":
                counts.abandoned += 1
            case "busy":
                counts.busy += 1
            case "failed":
                counts.failed += 1
            case "no_answer":
                counts.no_answer += 1
        if call.answered_at is None:
            self._unanswered[call.queue] -= 1
        self._live[call.campaign_id] -= 1
        self._live_phones[call.phone_number] -= 1
        if not self._live_phones[call.phone_number]:
            del self._live_phones[call.phone_number]
        if call.disposition in FINAL:
            self._final_contacts.add(call.contact_id)

    def freed(self, agent: Agent, now: float) -> None:
        """The agent is free after wrap-up: the next originate for the queue is the reaction."""
        self._freed[agent.queue][agent.id] = now

    def taken(self, agent: Agent) -> None:
        """The agent is no longer free; without an originate meanwhile there is no reaction to measure."""
        self._freed[agent.queue].pop(agent.id, None)

    def audit(self, now: float, agents: Iterable[Agent], statuses: Iterable[str]) -> Audit:
        times = {
            agent.id: AgentTime(
                talk_s=agent.time_in_state("busy", now),
                wrap_up_s=agent.time_in_state("wrapup", now),
                idle_s=agent.time_in_state("available", now),
            )
            for agent in agents
        }
        talk_s = sum(time.talk_s for time in times.values())
        wrap_up_s = sum(time.wrap_up_s for time in times.values())
        logged_in_s = sum(time.logged_in_s for time in times.values()) or 1.0
        return Audit(
            at=now,
            total=self._total(),
            campaigns={
                campaign: msgspec.structs.replace(counts) for campaign, counts in self.campaigns.items()
            },
            live_calls=self._live.total(),
            unanswered=self._unanswered.total(),
            double_dials=self.double_dials,
            calls_to_live_phones=self.calls_to_live_phones,
            repeated_keys={key: times for key, times in self.per_key.items() if times > 1},
            dialed_after_final=self.dialed_after_final,
            over_max_retries=len(self._over_max_retries),
            max_live_calls=dict(self._max_live),
            max_unanswered=dict(self._max_unanswered),
            agents=times,
            occupancy=(talk_s + wrap_up_s) / logged_in_s,
            talk_share=talk_s / logged_in_s,
            reaction_s=list(self.reaction_s),
            contacts=dict(Counter(statuses)),
            findings=list(self.findings),
        )

    def _total(self) -> CallCounts:
        total = CallCounts()
        for counts in self.campaigns.values():
            for field in CallCounts.__struct_fields__:
                setattr(total, field, getattr(total, field) + getattr(counts, field))
        return total

    def _add_finding(self, call: Call, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(
                f"{call.placed_at:.1f} s: contact {call.contact_id}, key {call.key}: {finding}"
            )
