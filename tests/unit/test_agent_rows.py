"""A row of an agent list that cannot be read costs only its agent, and is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.consumers.dialing.agent_lists import agent_notices
from streamdialer.gateways.agent_rows import AgentList, read_agents
from streamdialer.model import AGENT_STATES, normalise_id
from tests.support.json_values import json_values

odd_rows = json_values | st.fixed_dictionaries({"id": json_values}, optional={"status": json_values})
GOOD = [{"id": 1, "status": "Available"}, {"id": "b", "status": "on-call"}]


@given(rows=st.lists(odd_rows, max_size=5))
def test_whatever_rows_stand_beside_them_the_agents_are_read(rows: list[object]) -> None:
    listed = read_agents([GOOD[0], *rows, GOOD[1]])
    states = {normalise_id(agent.id): agent.state for agent in listed.agents}
    assert states["b"] == "busy"
    assert states["1"] == ("available" if all(row_id(row) != "1" for row in rows) else states["1"])
    assert len(listed.unreadable) == sum(row_id(row) is None for row in rows)
    assert set(agent_notices(listed)) <= {"agents_unreadable", "agent_status_unknown"}


def row_id(row: object) -> str | None:
    try:
        return normalise_id(row.get("id")) if isinstance(row, dict) else None
    except ValueError:
        return None


@pytest.mark.parametrize("status", ["READY", "Not in use", 1, True, ["available"], {"now": "idle"}, 1e308])
def test_a_status_that_is_not_known_is_offline_and_named(status: object) -> None:
    listed = read_agents([{"id": number, "status": status} for number in range(3)])
    assert {agent.state for agent in listed.agents} == {"offline"}
    assert agent_notices(listed)["agent_status_unknown"].startswith("3 with ")


@pytest.mark.parametrize("status", [None, "", "Offline", "not ready", "On-Break", *AGENT_STATES])
def test_a_known_status_is_not_named(status: str | None) -> None:
    assert agent_notices(read_agents([{"id": 1, "status": status}])) == {}


def test_a_notice_names_the_most_frequent_words_and_few_rows() -> None:
    words = ["one"] * 1 + ["two"] * 2 + ["three"] * 3 + ["four\n\x1b[2J"] * 4
    rows: list[object] = [{"id": number, "status": word} for number, word in enumerate(words)]
    notices = agent_notices(read_agents([*rows, *[17] * 9]))
    assert notices["agent_status_unknown"] == (
        "4 with 'four \\x1b[2J', 3 with 'three', 2 with 'two' and 1 more"
    )
    assert notices["agents_unreadable"] == (
        "row 11: an agent without id, row 12: an agent without id, row 13: an agent without id and 6 more"
    )
    assert agent_notices(AgentList(agents=[], trouble="HTTP 500"))["agents_incomplete"] == "HTTP 500"
