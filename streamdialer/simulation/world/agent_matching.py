"""How many calls can have a free agent of their own queue, where agents stand in several queues."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streamdialer.simulation.world.entities import Id


def served_calls(calls: Sequence[str], free: Mapping[Id, Collection[str]]) -> int:
    """The size of the largest matching. `calls`: the queue of each; `free`: the queues of each free agent."""
    call_of: dict[Id, int] = {}

    def finds_an_agent(call: int, tried: set[Id]) -> bool:
        fitting = [agent for agent, queues in free.items() if calls[call] in queues and agent not in tried]
        for agent in sorted(fitting, key=call_of.__contains__):  # those without a call first
            tried.add(agent)
            if agent not in call_of or finds_an_agent(call_of[agent], tried):
                call_of[agent] = call
                return True
        return False

    return sum(finds_an_agent(call, set()) for call in range(len(calls)))
