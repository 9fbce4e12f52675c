"""How many calls find a free agent of their own queue, and when the auditor says that a progressive call lacks one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.simulation.world.agent_matching import served_calls
from streamdialer.simulation.world.engine import World
from streamdialer.simulation.world.entities import Campaign, Id
from tests.support.simulated_world import OUTCOMES

QUEUES = ("a", "b", "c", "d")
queue_sets = st.sets(st.sampled_from(QUEUES)).map(frozenset)


def most_served(calls: tuple[str, ...], teams: tuple[frozenset[str], ...]) -> int:
    """Tries every agent, and none, for the first call, and so on for the others."""
    if not calls:
        return 0
    first, *others = calls
    fitting = {team for team in teams if first in team}
    without = [teams[: (at := teams.index(team))] + teams[at + 1 :] for team in fitting]
    return max(
        [most_served(tuple(others), teams), *(1 + most_served(tuple(others), rest) for rest in without)]
    )


@given(calls=st.lists(st.sampled_from(QUEUES), max_size=6), teams=st.lists(queue_sets, max_size=6))
def test_the_matching_is_as_large_as_any(calls: list[str], teams: list[frozenset[str]]) -> None:
    free: dict[Id, frozenset[str]] = dict(enumerate(teams))
    assert served_calls(calls, free) == most_served(tuple(calls), tuple(teams))


def test_agents_are_moved_to_other_calls_over_several_queues() -> None:
    free: dict[Id, tuple[str, ...]] = {1: ("a", "b"), 2: ("b", "c"), 3: ("c", "d")}
    assert served_calls(["b", "c", "d", "a"], free) == 3
    assert served_calls(["b", "c", "a"], free) == 3, "the call of a gets agent 1, b agent 2 and c agent 3"
    assert served_calls(["a", "a"], free) == 1


@pytest.mark.parametrize(
    ("queues", "lacking"),
    [
        (["service", "service", "support"], []),
        (["service", "support", "service", "support"], [3]),
        (["support", "support", "support"], [2]),
        (["sales", "sales", "support", "service"], []),
    ],
)
def test_the_auditor_counts_an_agent_of_two_queues_once(queues: list[str], lacking: list[int]) -> None:
    world = World(OUTCOMES["no_answer"])
    for queue in ("service", "support"):
        world.add_campaign(Campaign(id=queue, queue_name=queue, dial_mode="progressive"))
    world.add_campaign(Campaign(id="sales", queue_name="sales", dial_mode="predictive"))
    world.add_agent("one", "service")
    world.add_agent("both", "service", also_in=("support",))
    world.add_agent("all", "support", also_in=("service", "sales"))
    for at, queue in enumerate(queues):
        world.originate(float(at), queue, at, f"+1555{at:07d}")
    assert list(world.auditor.calls_without_agent) == lacking
