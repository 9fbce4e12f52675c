"""The agents of Asterisk's queues: AMI events in, agent events and whole lists out (pure)."""

from __future__ import annotations

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


class _Member(msgspec.Struct):
    """An agent in one queue."""

    status: int = 0
    is_paused: bool = False
    pause_reason: str = ""


class _Agent(msgspec.Struct):
    queues: dict[str, _Member] = {}
    in_call: bool = False
    wrap_until_s: float = 0.0
    said: AgentState | None = None


class QueueAgents:
    """By their interfaces, such as `PJSIP/1001`, or by their members' names if `by_name`."""

    def __init__(self, wrap_up: WrapUp, *, by_name: bool = False) -> None:
        self._wrap_up = wrap_up
        self._by_name = by_name
        self._agents: dict[str, _Agent] = {}
        self._queues: set[str] = set()
        self.changed: set[str] = set()
        """Queues whose members changed: their lists are to be written."""

    def id_of(self, message: Message) -> str:
        """The agent that an event names; '' for none."""
        interface, name = message.get("Interface") or message.get("Location"), message.get("MemberName")
        return (name or message.get("Name") or interface) if self._by_name else interface

    def observe(self, message: Message, now_s: float) -> list[Event]:
        queue, agent_id = message.get("Queue"), self.id_of(message)
        if not queue or not agent_id:
            return []
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
                agent.in_call = False
                agent.wrap_until_s = now_s + self._wrap_up.of(agent_id, queue)
            case _:
                return []
        return self._news(agent_id, queue, now_s)

    def settle(self, now_s: float) -> list[Event]:
        """Agents whose wrap-up is over."""
        over = [each for each, agent in self._agents.items() if 0 < agent.wrap_until_s <= now_s]
        found: list[Event] = []
        for agent_id in over:
            self._agents[agent_id].wrap_until_s = 0.0
            found += self._news(agent_id, next(iter(self._agents[agent_id].queues), ""), now_s)
        return found

    def sync(self, rows: Iterable[Message], now_s: float, wall_s: float) -> list[Event]:
        """Takes over the rows of `QueueStatus`; who is missing in them has left."""
        before, self._agents = self._agents, {}
        self._queues = set()
        for row in rows:
            queue, agent_id = row.get("Queue"), self.id_of(row)
            if row.event == "QueueParams":
                self._queues.add(queue)
            elif row.event == "QueueMember" and queue and agent_id:
                self._note(agent_id, queue, row)
                agent, old = self._agents[agent_id], before.get(agent_id)
                agent.said = old.said if old else None
                left_s = (row.number("LastCall") or 0) + self._wrap_up.of(agent_id, queue) - wall_s
                seen_s = old.wrap_until_s if old else now_s + max(0.0, left_s)
                agent.wrap_until_s = max(agent.wrap_until_s, seen_s if seen_s > now_s else 0.0)
        found: list[Event] = []
        for agent_id, old in before.items():
            if agent_id not in self._agents and old.said not in (None, "offline"):
                found.append(_event(agent_id, next(iter(old.queues), ""), "offline"))
        for agent_id, agent in list(self._agents.items()):
            found += self._news(agent_id, next(iter(agent.queues), ""), now_s)
        self.changed |= self._queues
        return found

    def lists(self, now_s: float) -> list[Event]:
        """`queue_agents` of the queues that changed; they count as written."""
        queues, self.changed = sorted(self.changed), set()
        return [
            {
                "type": "queue_agents",
                "queue": queue,
                "agents": [
                    {"agent_id": agent_id, "state": _state(agent, agent.queues[queue], now_s)}
                    for agent_id, agent in sorted(self._agents.items())
                    if queue in agent.queues
                ],
            }
            for queue in queues
        ]

    def _note(self, agent_id: str, queue: str, message: Message) -> None:
        agent = self._agents.setdefault(agent_id, _Agent(queues={}))
        member = agent.queues.get(queue)
        is_paused = message.get("Paused") == "1"
        if member is None or member.is_paused != is_paused:
            self.changed.add(queue)
        agent.queues[queue] = _Member(message.number("Status") or 0, is_paused, message.get("PausedReason"))
        agent.in_call = message.get("InCall") == "1" or (agent.in_call and message.event != "QueueMember")

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


def _event(agent_id: str, queue: str, state: AgentState) -> Event:
    return {"type": EVENT_OF[state], "agent_id": agent_id, "queue": queue}
