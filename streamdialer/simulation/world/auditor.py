"""The auditor counts calls and finds what a dialer did wrong: only the world knows which phones ring."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar

import msgspec

from streamdialer.simulation.world.entities import Agent, Call, Campaign, Id

MAX_FINDINGS = 50
MAX_REACTIONS = 10_000
MAX_TIMES = 10_000
FINAL = frozenset({"completed", "machine"})
"""Dispositions after which the contact must not be dialed again, by whatever campaign."""
FINISHED = FINAL | {"abandoned", "invalid", "do_not_call"}
"""Statuses in the backend that only a later call may replace."""


class CallCounts(msgspec.Struct, kw_only=True):
    """Calls by outcome.

    originates = answered_by_person + machine + busy + failed + no_answer + cancelled + calls still unanswered.
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
    cancelled: int = 0
    """Taken back while they rang."""
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
    """Of those, to a phone or a contact with a ringing or talking earlier call: a person was called twice."""
    repeated_keys: dict[str, int]
    """Keys used more than once, and how often."""
    dialed_after_final: int
    """Originates to contacts whose earlier call had a final result."""
    over_max_retries: int
    """Contacts with more originates of a campaign than its `max_retries`."""
    calls_without_agent: int = 0
    """Progressive calls placed while all unanswered ones were more than the free agents who could take them."""
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
        self.dialed_after_final: Counter[tuple[Id, bool]] = Counter()
        """By contact, and whether the campaign was another one than before."""
        self.over_max_retries: set[Id] = set()
        self.set_back: dict[Id, float] = {}
        """Contacts that an update took from a finished status to another one without a call in between, and when."""
        self.set_back_for_a_moment: deque[float] = deque(maxlen=MAX_TIMES)
        """When those were set back that an update has shown as finished again."""
        self.ended_by_backend: dict[Id, float] = {}
        """Contacts that the backend itself has ended, and when."""
        self.may_call_ended_for_s = math.inf
        """How long the dialer may go by what the backend showed before that; seconds of life."""
        self.may_overwrite_ended_for_s = 0.0
        """How long after that an update may come whose sender has read the contact before it; seconds of life."""
        self.calls_to_ended: deque[float] = deque(maxlen=MAX_TIMES)
        """When such contacts were called later than that."""
        self.ends_overwritten: deque[float] = deque(maxlen=MAX_TIMES)
        """When an update gave such a contact another status."""
        self.unanswered: Counter[str] = Counter()
        """By queue."""
        self.calls_without_agent: deque[float] = deque(maxlen=MAX_TIMES)
        """When they were placed."""
        self.abandoned: deque[tuple[float, Id]] = deque(maxlen=MAX_TIMES)
        """When, and of which campaign."""
        self.findings: list[str] = []
        self.reaction_s: deque[float] = deque(maxlen=MAX_REACTIONS)
        self._final_contacts: dict[Id, Id] = {}
        """By whose call."""
        self._finished_at_call: dict[Id, int] = {}
        """Number of calls when the backend showed the contact as finished."""
        self._per_list: Counter[tuple[Id, Id]] = Counter()
        self._live_phones: Counter[str] = Counter()
        self._live_contacts: Counter[Id] = Counter()
        self._live: Counter[Id] = Counter()
        self._max_live: Counter[Id] = Counter()
        self._max_unanswered: Counter[str] = Counter()
        self._freed: defaultdict[str, dict[Id, float]] = defaultdict(dict)

    def placed(self, call: Call, campaign: Campaign) -> None:
        """Counts an originate and records what is wrong with it."""
        contact = call.contact_id
        is_live = call.phone_number in self._live_phones or contact in self._live_contacts
        has_old_key = bool(call.key) and call.key in self.per_key
        self.double_dials += is_live or has_old_key
        self.calls_to_live_phones += is_live
        if is_live:
            self._add_finding(call, "the phone or the contact has a live call")
        if has_old_key:
            self._add_finding(call, "the key was used before")
        if contact in self._final_contacts:
            by = self._final_contacts[contact]
            self.dialed_after_final[contact, by != call.campaign_id] += 1
            self._add_finding(call, f"an earlier call (campaign {by}) had a final result")
        ended_at = self.ended_by_backend.get(contact, math.inf)
        if call.placed_at > ended_at + self.may_call_ended_for_s:
            self.calls_to_ended.append(call.placed_at)
            self._add_finding(call, f"the backend had ended the contact at {ended_at:.1f} s")
        self.per_contact[contact] += 1
        self._per_list[call.campaign_id, contact] += 1
        if (calls := self._per_list[call.campaign_id, contact]) > campaign.max_retries:
            self.over_max_retries.add(contact)
            self._add_finding(call, f"call {calls} of at most {campaign.max_retries}")
        if call.key:
            self.per_key[call.key] += 1
        self.campaigns[call.campaign_id].originates += 1
        self._live_phones[call.phone_number] += 1
        self._live_contacts[contact] += 1
        self._live[call.campaign_id] += 1
        self.unanswered[call.queue] += 1
        self._max_live[call.campaign_id] = max(self._max_live[call.campaign_id], self._live[call.campaign_id])
        self._max_unanswered[call.queue] = max(self._max_unanswered[call.queue], self.unanswered[call.queue])
        freed = self._freed.pop(call.queue, {})
        self.reaction_s.extend(call.placed_at - at for at in freed.values())

    def forget_all_but(self, newest: int) -> None:
        """Keeps so many of the keys and contacts that were recorded last: more calls to the others are no finding."""
        records: tuple[dict[Any, Any], ...] = (
            *(self.per_contact, self.per_key, self.dialed_after_final, self.set_back, self.ended_by_backend),
            *(self._final_contacts, self._finished_at_call, self._per_list),
        )
        for record in records:
            for name in list(islice(record, max(0, len(record) - newest))):
                del record[name]
        self.over_max_retries.intersection_update(self.per_contact)

    def lacks_an_agent(self, call: Call) -> None:
        """The progressive call was placed, and there are not enough free agents for all unanswered calls."""
        self.calls_without_agent.append(call.placed_at)
        self._add_finding(call, "more unanswered calls than free agents")

    def status_written(self, contact: Id, old: str, new: str, now: float) -> None:
        """The dialer changed the contact's status at the backend."""
        ended_at = self.ended_by_backend.pop(contact, None) if new != old else None
        if ended_at is not None and now > ended_at + self.may_overwrite_ended_for_s:
            self.ends_overwritten.append(now)
            self._find(
                f"{now:.1f} s: contact {contact}: the backend had ended it as {old}, an update sets it to {new}"
            )
        if new in FINISHED:
            self._finished_at_call[contact] = self.per_contact[contact]
            if contact in self.set_back:
                self.set_back_for_a_moment.append(self.set_back.pop(contact))
        elif old in FINISHED and self._finished_at_call.get(contact) == self.per_contact[contact]:
            self.set_back[contact] = now
            self._find(f"{now:.1f} s: contact {contact}: the backend had {old}, an update sets it to {new}")

    def end_contact(self, contact: Id, now: float) -> None:
        """The backend itself has ended the contact: nobody calls it again."""
        self.ended_by_backend.setdefault(contact, now)

    def picked_up(self, call: Call) -> None:
        """A person or a machine answered."""
        self.unanswered[call.queue] -= 1
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
                self.abandoned.append((call.ended_at or 0.0, call.campaign_id))
            case "busy":
                counts.busy += 1
            case "failed":
                counts.failed += 1
            case "no_answer":
                counts.no_answer += 1
            case "cancelled":
                counts.cancelled += 1
        if call.answered_at is None:
            self.unanswered[call.queue] -= 1
        self._live[call.campaign_id] -= 1
        _count_down(self._live_phones, call.phone_number)
        _count_down(self._live_contacts, call.contact_id)
        if call.disposition in FINAL:
            self._final_contacts[call.contact_id] = call.campaign_id

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
            unanswered=self.unanswered.total(),
            double_dials=self.double_dials,
            calls_to_live_phones=self.calls_to_live_phones,
            repeated_keys={key: times for key, times in self.per_key.items() if times > 1},
            dialed_after_final=self.dialed_after_final.total(),
            over_max_retries=len(self.over_max_retries),
            calls_without_agent=len(self.calls_without_agent),
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
        self._find(f"{call.placed_at:.1f} s: contact {call.contact_id}, key {call.key}: {finding}")

    def _find(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


Name = TypeVar("Name")


def _count_down(live: Counter[Name], name: Name) -> None:
    live[name] -= 1
    if not live[name]:
        del live[name]
