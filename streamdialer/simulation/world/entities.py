"""The things of the simulated world: campaigns, contacts, calls, agents, queues and events."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import msgspec

from streamdialer.model import AgentEventType, CallEventType, ContactStatus, DialMode, OnMachine, Pacing

Id = int | str
Outcome = Literal["human", "machine", "busy", "failed", "no_answer"]
Disposition = Literal["completed", "machine", "abandoned", "busy", "failed", "no_answer", "cancelled"]
CallState = Literal["placed", "ringing", "waiting", "talking", "machine", "ended"]
AgentState = Literal["available", "busy", "wrapup", "offline"]


class Campaign(msgspec.Struct, kw_only=True):
    """A campaign as the backend shows it; may be changed while the world runs."""

    id: Id
    name: str = ""
    status: str = "draft"
    dial_mode: DialMode = "progressive"
    pacing_ratio: float = 1.2
    max_concurrent_calls: int = 50
    slots: int | None = None
    reserve_agents: int = 0
    queue_name: str = "sales"
    """Without meaning in an agentless campaign."""
    max_retries: int = 3
    retry_delay: float = 300.0
    """Wall-clock seconds, as the backend shows it."""
    retry_rules: dict[str, Any] | None = None
    attempt_caps: list[Any] | None = None
    contact_caps: list[Any] | None = None
    min_gap: dict[str, Any] | None = None
    abandon_cooloff: dict[str, Any] | None = None
    trunk: str | None = None
    calls_per_second: float | None = None
    caller_id: str | None = None
    caller_ids: list[str] = []
    caller_id_choice: str = "rotate"
    caller_id_daily_cap: int | None = None
    ring_timeout: float | None = None
    """Wall-clock seconds, as the backend shows it."""
    amd: bool = False
    on_machine: OnMachine = "hangup"
    start_time: str | None = None
    end_time: str | None = None
    days_of_week: list[int] | None = None
    timezone: str | None = None
    pacing: Pacing | None = None
    abandon_cap: float = 0.03
    rule_pack: str | None = None
    weight: float = 1.0

    @property
    def is_agentless(self) -> bool:
        return self.dial_mode == "agentless"


class Contact(msgspec.Struct, kw_only=True):
    """A contact as the backend stores it."""

    id: int
    campaign_id: Id
    phone_number: str
    also_in: tuple[Id, ...] = ()
    """Further campaigns in whose lists the contact stands."""
    phones: list[str] = []
    """When the contact has several numbers."""
    status: ContactStatus | str = "pending"
    priority: int = 5
    attempts: int = 0
    last_attempt: str | None = None
    """ISO 8601, as the client wrote it."""
    timezone: str | None = None
    caller_id: str | None = None
    custom_data: dict[str, Any] = {}
    do_not_call: bool = False
    created_at: str = "2026-01-01T00:00:00Z"

    @property
    def campaign_ids(self) -> tuple[Id, ...]:
        return (self.campaign_id, *self.also_in)


class CallOutcome(msgspec.Struct, frozen=True, gc=False):
    """How one call will go, drawn when the call is placed. Seconds of life."""

    outcome: Outcome
    setup_s: float
    """From originate to ringing, or to busy or failed."""
    ring_end_s: float
    """From originate to the answer or the end of ringing."""
    talk_s: float
    """With an agent; for a machine, until it hangs up."""
    wrap_up_s: float


class Call(msgspec.Struct, kw_only=True, eq=False):
    id: str
    campaign_id: Id
    contact_id: Id
    phone_number: str
    key: str | None
    queue: str
    """Whose agents take it; '' when none do."""
    ordinal: int
    """Number of calls to the contact before this one."""
    placed_at: float
    plan: CallOutcome
    state: CallState = "placed"
    answered_at: float | None = None
    connected_at: float | None = None
    ended_at: float | None = None
    agent_id: Id | None = None
    disposition: Disposition | None = None


PAST_STATES = 50


class Agent(msgspec.Struct, kw_only=True, eq=False):
    id: Id
    queue: str
    also_in: tuple[str, ...] = ()
    """Further queues whose calls they take."""
    state: AgentState = "offline"
    since: float = 0.0
    past: deque[tuple[float, AgentState]] = msgspec.field(default_factory=lambda: deque(maxlen=PAST_STATES))
    """Earlier states and when each began."""
    call: Call | None = None
    """The call they talk on or wrap up."""
    leaving: bool = False
    """Logs out after the current call and its wrap-up."""
    seconds: dict[AgentState, float] = {}

    def set_state(self, state: AgentState, now: float) -> None:
        self.seconds[self.state] = self.time_in_state(self.state, now)
        self.past.append((self.since, self.state))
        self.state, self.since = state, now

    @property
    def queues(self) -> tuple[str, ...]:
        return (self.queue, *self.also_in)

    def state_at(self, at: float) -> AgentState:
        """The state they had then, as far as it is remembered."""
        states = [*self.past, (self.since, self.state)]
        return next((state for since, state in reversed(states) if since <= at), states[0][1])

    def time_in_state(self, state: AgentState, now: float) -> float:
        """Seconds in `state` up to `now`."""
        return self.seconds.get(state, 0.0) + (now - self.since if state == self.state else 0.0)


class Queue(msgspec.Struct, kw_only=True):
    """Agents who share calls, and the people who wait for one of them."""

    name: str
    agents: list[Agent] = []
    free: deque[Agent] = msgspec.field(default_factory=deque)
    """The agent who has been idle longest comes first."""
    waiting: deque[Call] = msgspec.field(default_factory=deque)
    """Answered calls without an agent; the longest waiting comes first."""


class EventData(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The `data` of an event on the stream; fields that do not apply are left out."""

    campaign_id: Id | None = None
    contact_id: Id | None = None
    call_id: str | None = None
    attempt_id: str | None = None
    agent_id: Id | None = None
    queue: str | None = None
    answered_by: Literal["human", "machine"] | None = None
    duration: float | None = None
    """Seconds of life from the answer to the end."""
    disposition: Disposition | None = None
    cause: int | None = None
    """Q.850."""


class CallList(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The `data` of the event `source_live`."""

    source: str
    since: str
    """ISO 8601: the source has watched without a gap since then."""
    calls: list[str]
    """Attempt ids (call ids where there are none) of all calls that are up."""


class SimEvent(msgspec.Struct, frozen=True, gc=False):
    """Something that happened in the world, as the event that is written to the stream."""

    at: float
    """Seconds of life."""
    type: CallEventType | AgentEventType
    data: EventData


class SourceLive(msgspec.Struct, frozen=True, gc=False):
    """The event source has started or is back, and lists all calls that are up."""

    data: CallList
    type: Literal["source_live"] = "source_live"


class AgentRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    agent_id: Id
    state: AgentState


class AgentRows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The `data` of the event `queue_agents`."""

    queue: str
    source: str
    agents: list[AgentRow]


class QueueAgents(msgspec.Struct, frozen=True, gc=False):
    """The telephone system lists all agents of a queue."""

    data: AgentRows
    type: Literal["queue_agents"] = "queue_agents"
