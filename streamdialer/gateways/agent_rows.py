"""Reads the rows of a queue's agent list (pure): a row that cannot be read costs only its agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streamdialer.model import Agent, normalise_id


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """The agents of a queue, each once, and what could not be understood."""

    agents: list[Agent]
    unreadable: list[str] = []
    """One line with the reason for each row that cannot be used."""
    unknown_statuses: dict[str, int] = {}
    """Status words that we do not know, as spelled -> agents with it; they count as offline."""
    trouble: str = ""
    """Why a part of the list is missing, '' when it is whole."""


def read_agents(rows: Iterable[object], trouble: str = "") -> AgentList:
    """An agent with several rows, such as one per device, is free only if each of them says so."""
    agents: dict[str, Agent] = {}
    unreadable: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            agent = _read_agent(row)
        except ValueError as error:
            unreadable.append(f"row {number}: {error}")
            continue
        name = normalise_id(agent.id)
        if name not in agents or agents[name].is_free:
            agents[name] = agent
    unknown = Counter(agent.status or "" for agent in agents.values() if not agent.has_known_status)
    return AgentList(
        agents=list(agents.values()), unreadable=unreadable, unknown_statuses=dict(unknown), trouble=trouble
    )


def _read_agent(row: object) -> Agent:
    """Raises ValueError for a row without an id; a status that is no text is an unknown one."""
    if not isinstance(row, dict) or row.get("id") is None:
        raise ValueError("an agent without id")
    normalise_id(row["id"])
    status = row.get("status")
    if status is not None and not isinstance(status, str):
        status = msgspec.json.encode(status).decode()[:64]
    whole = row["id"]
    return Agent(id=int(whole) if isinstance(whole, float) else whole, status=status)
