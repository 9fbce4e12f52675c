"""The agents of Asterisk's queues: AMI events in, agent events and whole lists out (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from streamdialer.config.wrap_up import WrapUp
from streamdialer.gateways.ami.messages import Message
from streamdialer.model import AgentState

Event = dict[str, Any]
EVENT_OF: Final[dict[AgentState, str]] = {
    "available": "agent_available",
    "busy": "agent_busy",
    "wrapup": "agent_wrapup",
    "offline": "agent_offline",
}
_FREE: Final = (0, 1)
"""Device states unknown and not in use: the queue rings both."""
_AWAY: Final = (4, 5)
"""Invalid and unavailable; every other state means a call, or a phone that rings."""
_BEST: Final[tuple[AgentState, ...]] = ("busy", "available", "wrapup", "offline")
"""Of the states in an agent's queues, the one that counts for the agent."""


MAX_REPEATED: Final = 10_000
"""Most events that are applied again after a whole list."""


class _Member(msgspec.Struct):
    """An agent in one queue."""

    status: int = 0
    is_paused: bool = False
    pause_reason: str = ""
    last_call: int = 0
    """When its last call ended, by Asterisk's clock and as a whole list said it."""


class _Agent(msgspec.Struct):
    queues: dict[str, _Member] = {}
    in_call: bool = False
    has_completed: bool = False
    """An event has said since the last whole list that a call of the agent ended."""
    wrap_until_s: float = 0.0
    said: AgentState | None = None


class QueueAgents:
    """By their interfaces, such as `PJSIP/1001`, or by their members' names if `by_name`."""

    def __init__(self, wrap_up: WrapUp, *, by_name: bool = False) -> None:
        self._wrap_up = wrap_up
        self._by_name = by_name
        self._agents: dict[str, _Agent] = {}
        self._queues: set[str] = set()
        self._heard: deque[tuple[float, Message]] = deque(maxlen=MAX_REPEATED)
        """Events since the last whole list, and when they were handled."""
        self.changed: set[str] = set()
        """Queues whose members changed: their lists are to be written."""

    def id_of(self, message: Message) -> str:
        """The agent that an event names; '' for none."""
        interface, name = message.get("Interface") or message.get("Location"), message.get("MemberName")
        return (name or message.get("Name") or interface) if self._by_name else interface

    def observe(self, message: Message, now_s: float) -> list[Event]:
        queue, agent_id = message.get("Queue"), self.id_of(message)
        if not queue or not agent_id or not self._take_over(message, queue, agent_id, now_s):
            return []
        self._heard.append((now_s, message))
        return self._news(agent_id, queue, now_s)

    def _take_over(self, message: Message, queue: str, agent_id: str, now_s: float) -> bool:
        """Whether the event says something of the agent."""
        match message.event:
            case "QueueMemberStatus" | "QueueMemberPause" | "QueueMemberAdded":
                self._note(agent_id, queue, message)
            case "QueueMemberRemoved":
                agent = self._agents.get(agent_id)
                if agent and agent.queues.pop(queue, None):
                    self.changed.add(queue)
            case "AgentConnect":
                self._agents.setdefault(agent_id, _Agent()).in_call = True
            case "AgentComplete":
                agent = self._agents.setdefault(agent_id, _Agent())
                agent.in_call, agent.has_completed = False, True
                agent.wrap_until_s = now_s + self._wrap_up.of(agent_id, queue)
            case _:
                return False
        return True

    def settle(self, now_s: float) -> list[Event]:
        """Agents whose wrap-up is over."""
        over = [each for each, agent in self._agents.items() if 0 < agent.wrap_until_s <= now_s]
        found: list[Event] = []
        for agent_id in over:
            self._agents[agent_id].wrap_until_s = 0.0
            found += self._news(agent_id, next(iter(self._agents[agent_id].queues), ""), now_s)
        return found

    def sync(self, rows: Iterable[Message], asked_s: float, now_s: float, wall_s: float) -> list[Event]:
        """Takes over the rows of `QueueStatus`, asked for at `asked_s`; who is missing in them has left."""
        before, self._agents = self._agents, {}
        self._queues = set()
        for row in rows:
            queue, agent_id = row.get("Queue"), self.id_of(row)
            if row.event == "QueueParams":
                self._queues.add(queue)
            elif row.event == "QueueMember" and queue and agent_id:
                self._note(agent_id, queue, row)
                agent, old = self._agents[agent_id], before.get(agent_id)
                seen_s = old.wrap_until_s if old else 0.0
                if old is None or _has_missed_end(old, queue, row):
                    wrap_s = self._wrap_up.of(agent_id, queue)
                    left_s = (row.number("LastCall") or 0) + wrap_s - wall_s
                    seen_s = max(seen_s, now_s + min(wrap_s, left_s))  # Asterisk's clock may be ahead
                agent.wrap_until_s = max(agent.wrap_until_s, seen_s if seen_s > now_s else 0.0)
        for heard_s, message in self._heard:
            if heard_s >= asked_s:  # a row may be older
                self._take_over(message, message.get("Queue"), self.id_of(message), heard_s)
        self._heard.clear()
        found: list[Event] = []
        for agent_id, old in before.items():
            if agent_id not in self._agents and old.said not in (None, "offline"):
                found.append(_event(agent_id, next(iter(old.queues), ""), "offline"))
        for agent_id, agent in list(self._agents.items()):
            agent.said = before[agent_id].said if agent_id in before else None
            if agent.queues or agent.in_call or agent.said:
                found += self._news(agent_id, next(iter(agent.queues), ""), now_s)
            else:
                del self._agents[agent_id]
        self.changed |= self._queues
        return found

    def lists(self, now_s: float) -> list[Event]:
        """`queue_agents` of the queues that changed; they count as written.

        An agent has one state in all queues: who is paused in some of them only is not listed there.
        """
        queues, self.changed = sorted(self.changed), set()
        return [
            {
                "type": "queue_agents",
                "queue": queue,
                "agents": [
                    {"agent_id": agent_id, "state": _state(agent, agent.queues[queue], now_s)}
                    for agent_id, agent in sorted(self._agents.items())
                    if queue in agent.queues and not _is_absent(agent, agent.queues[queue])
                ],
            }
            for queue in queues
        ]

    def _note(self, agent_id: str, queue: str, message: Message) -> None:
        agent = self._agents.setdefault(agent_id, _Agent(queues={}))
        member = agent.queues.get(queue)
        is_paused = message.get("Paused") == "1"
        if member is None or member.is_paused != is_paused:
            self.changed |= {queue, *agent.queues}
        last_call = member.last_call if member else 0
        if message.event == "QueueMember":
            last_call = message.number("LastCall") or 0
        status, reason = message.number("Status") or 0, message.get("PausedReason")
        agent.queues[queue] = _Member(status, is_paused, reason, last_call)
        if message.get("InCall") == "1":  # else another queue may have the call
            agent.in_call = True

    def _news(self, agent_id: str, queue: str, now_s: float) -> list[Event]:
        agent = self._agents.get(agent_id)
        if agent is None:
            return []
        states = {_state(agent, member, now_s) for member in agent.queues.values()}
        if agent.in_call:
            states.add("busy")
        state: AgentState = next((each for each in _BEST if each in states), "offline")
        if not agent.queues and not agent.in_call:
            del self._agents[agent_id]
        if state == agent.said:
            return []
        agent.said = state
        return [_event(agent_id, queue, state)]


def _state(agent: _Agent, member: _Member, now_s: float) -> AgentState:
    if agent.in_call or any(each.status not in (*_FREE, *_AWAY) for each in agent.queues.values()):
        return "busy"
    if member.is_paused:
        return "wrapup" if "wrap" in member.pause_reason.lower() else "offline"
    if member.status in _AWAY:
        return "offline"
    return "wrapup" if agent.wrap_until_s > now_s else "available"


def _has_missed_end(old: _Agent, queue: str, row: Message) -> bool:
    """Whether the row shows the end of a call that no event has said."""
    member = old.queues.get(queue)
    is_new = member is None or (row.number("LastCall") or 0) != member.last_call
    return is_new and not old.has_completed


def _is_absent(agent: _Agent, member: _Member) -> bool:
    return member.is_paused and not all(each.is_paused for each in agent.queues.values())


def _event(agent_id: str, queue: str, state: AgentState) -> Event:
    return {"type": EVENT_OF[state], "agent_id": agent_id, "queue": queue}
