"""Agents of Asterisk's queues: their state by member status, pause, call and wrap-up, each change told once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.config.wrap_up import WrapUp, parse_wrap_up, validate_wrap_up
from streamdialer.gateways.ami.messages import Message
from streamdialer.producers.asterisk.agents import QueueAgents
from tests.support.asterisk_capture import FOLDER, read_rows, summaries

ANN = "PJSIP/1001"


def member(event: str = "QueueMemberStatus", queue: str = "sales", **fields: str) -> Message:
    return Message.of(Event=event, Queue=queue, **({"Interface": ANN, "Status": "1"} | fields))


def told(events: list[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("agent_") for each in events]


def states(agents: QueueAgents, now_s: float = 0) -> dict[str, dict[str, str]]:
    agents.changed |= {"sales", "support"}
    return {
        each["queue"]: {agent["agent_id"]: agent["state"] for agent in each["agents"]}
        for each in agents.lists(now_s)
    }


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"Status": "0"}, "available"),
        ({"Status": "1"}, "available"),
        ({"Status": "2"}, "busy"),
        ({"Status": "3"}, "busy"),
        ({"Status": "4"}, "offline"),
        ({"Status": "5"}, "offline"),
        ({"Status": "6"}, "busy"),
        ({"Status": "7"}, "busy"),
        ({"Status": "8"}, "busy"),
        ({"Status": "1", "InCall": "1"}, "busy"),
        ({"Status": "1", "Paused": "1", "PausedReason": "lunch"}, "offline"),
        ({"Status": "1", "Paused": "1", "PausedReason": "Wrap-Up"}, "wrapup"),
        ({"Status": "2", "Paused": "1", "PausedReason": "lunch"}, "busy"),
    ],
)
def test_a_member_is_what_status_and_pause_say(fields: dict[str, str], state: str) -> None:
    agents = QueueAgents(WrapUp())
    assert agents.observe(member(**fields), 0) == [
        {"type": f"agent_{state}", "agent_id": ANN, "queue": "sales"}
    ]
    assert agents.observe(member(**fields), 0) == []  # told once
    assert states(agents)["sales"] == {ANN: state}


def test_an_agent_has_wrap_up_after_a_call_and_is_free_by_itself() -> None:
    agents = QueueAgents(parse_wrap_up("10, sales=5, PJSIP/9=0"))
    assert told(agents.observe(member(), 0)) == ["available"]
    assert told(agents.observe(member("AgentConnect"), 1)) == ["busy"]
    assert agents.observe(member(Status="2", InCall="1"), 1) == []
    assert agents.observe(member("AgentComplete"), 60) == []  # the phone is not yet down
    assert told(agents.observe(member(InCall="0"), 60)) == ["wrapup"]
    assert states(agents, 61)["sales"] == {ANN: "wrapup"}
    assert agents.settle(64.9) == []
    assert told(agents.settle(65)) == ["available"]
    assert agents.settle(66) == []


def test_an_agent_of_two_queues_counts_once() -> None:
    agents = QueueAgents(WrapUp())
    assert told(agents.observe(member(Paused="1"), 0)) == ["offline"]
    assert told(agents.observe(member(queue="support"), 0)) == ["available"]
    assert states(agents) == {"sales": {}, "support": {ANN: "available"}}
    assert told(agents.observe(member(queue="support", Status="2"), 0)) == ["busy"]
    assert states(agents) == {"sales": {}, "support": {ANN: "busy"}}
    assert told(agents.observe(member("QueueMemberRemoved", queue="support"), 0)) == ["offline"]
    assert told(agents.observe(member("QueueMemberRemoved"), 0)) == []


def test_who_is_paused_in_one_queue_is_free_in_the_others_only() -> None:
    agents = QueueAgents(WrapUp())
    rows = [member("QueueMember", Paused="1"), member("QueueMember", queue="support")]
    assert told(agents.sync(rows, 0, 0, 0)) == ["available"]
    assert states(agents) == {"sales": {}, "support": {ANN: "available"}}
    assert told(agents.observe(member("QueueMemberPause", queue="support", Paused="1"), 1)) == ["offline"]
    assert [each["queue"] for each in agents.lists(1)] == ["sales", "support"]
    assert told(agents.observe(member("QueueMemberPause", Paused="0"), 2)) == ["available"]
    assert {each["queue"]: each["agents"] for each in agents.lists(2)} == {
        "sales": [{"agent_id": ANN, "state": "available"}],
        "support": [],
    }


@pytest.mark.parametrize("queues", [("sales", "support"), ("support", "sales")])
def test_who_has_a_call_of_one_queue_is_busy_in_all(queues: tuple[str, str]) -> None:
    rows = [member("QueueMember", queue, InCall="01"[queue == "sales"]) for queue in queues]
    agents = QueueAgents(WrapUp())
    assert told(agents.sync(rows, 0, 0, 0)) == ["busy"]
    assert states(agents) == {"sales": {ANN: "busy"}, "support": {ANN: "busy"}}
    assert agents.sync(rows, 15, 15, 15) == []
    rows = [member("QueueMember", queue, InCall="0") for queue in queues]
    assert told(agents.sync(rows, 30, 30, 30)) == ["available"]


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (member("AgentConnect"), [], ["busy"]),
        (member("QueueMemberStatus", Status="2"), [], ["busy"]),
        (member("QueueMemberPause", Paused="1"), [], ["offline"]),
        (member("QueueMemberRemoved"), [], ["offline"]),
        (member("AgentComplete"), ["AgentConnect"], ["available"]),
    ],
    ids=lambda value: value.event if isinstance(value, Message) else None,
)
def test_a_row_that_may_be_older_than_an_event_does_not_win(
    event: Message, before: list[str], after: list[str]
) -> None:
    agents = QueueAgents(WrapUp())
    row = member("QueueMember", InCall="01"[bool(before)])
    agents.sync([member("QueueMember")], 0, 0, 0)
    for name in before:
        agents.observe(member(name), 1)
    assert told(agents.observe(event, 15.1)) == after
    assert agents.sync([row], asked_s=15, now_s=15.2, wall_s=15) == []
    assert len(agents.sync([row], asked_s=30, now_s=30.2, wall_s=30)) == 1, "now it is newer"


def test_an_agent_who_came_while_the_list_was_read_stays() -> None:
    agents = QueueAgents(WrapUp())
    assert told(agents.observe(member("QueueMemberAdded"), 15.1)) == ["available"]
    assert agents.sync([], asked_s=15, now_s=15.2, wall_s=15) == []
    assert told(agents.sync([], asked_s=30, now_s=30.2, wall_s=30)) == ["offline"]


@pytest.mark.parametrize("in_call", ["0", "1"])
def test_who_ended_a_call_in_a_gap_has_wrap_up_left(in_call: str) -> None:
    """It may have begun in the gap as well."""
    agents = QueueAgents(parse_wrap_up("30"))
    agents.sync([member("QueueMember", InCall=in_call, LastCall="400")], 0, 0, 1000)
    row = member("QueueMember", InCall="0", LastCall="1006")
    assert told(agents.sync([row], 8, 8, 1008))[-1:] == ["wrapup"]
    assert agents.sync([row], 23, 23, 1023) == agents.settle(35.9) == []
    assert told(agents.settle(36)) == ["available"]
    assert agents.sync([row], 38, 38, 1038) == []


def test_an_end_that_was_seen_is_not_counted_again_by_another_clock() -> None:
    agents = QueueAgents(parse_wrap_up("30"))
    agents.sync([member("QueueMember", LastCall="400")], 0, 0, 1000)
    agents.observe(member("AgentConnect"), 1)
    agents.observe(member("AgentComplete"), 5)
    row = member("QueueMember", LastCall="4605")
    assert told(agents.sync([row], 34, 34, 1034)) == []
    assert told(agents.settle(35)) == ["available"]
    assert agents.sync([row], 49, 49, 1049) == []


def test_a_clock_of_asterisk_that_is_ahead_prolongs_no_wrap_up() -> None:
    agents = QueueAgents(parse_wrap_up("30"))
    assert told(agents.sync([member("QueueMember", LastCall="4600")], 0, 0, 1000)) == ["wrapup"]
    assert told(agents.settle(30)) == ["available"]


def test_a_whole_list_is_taken_over() -> None:
    rows = [
        *read_rows((FOLDER / "30-sync-QueueStatus-sales.txt").read_text()),
        *read_rows((FOLDER / "30-sync-QueueStatus-empty.txt").read_text()),
    ]
    agents = QueueAgents(WrapUp())
    agents.observe(member(), 0)
    assert told(agents.sync(rows, 1, 1, 1_795_713_041)) == ["offline", "offline", "available", "busy"]
    assert agents.lists(1) == [
        {"type": "queue_agents", "queue": "empty", "agents": []},
        {
            "type": "queue_agents",
            "queue": "sales",
            "agents": [
                {"agent_id": "Local/1001@agents/n", "state": "offline"},
                {"agent_id": "Local/1002@agents/n", "state": "available"},
                {"agent_id": "Local/1003@agents/n", "state": "busy"},
            ],
        },
    ]
    assert agents.lists(1) == []
    assert agents.sync(rows, 2, 2, 1_795_713_042) == []


def test_a_list_read_after_a_start_shows_who_has_wrap_up_left() -> None:
    agents = QueueAgents(parse_wrap_up("30"))
    row = member("QueueMember", LastCall="1000")
    assert told(agents.sync([row], asked_s=5, now_s=5, wall_s=1010)) == ["wrapup"]
    assert told(agents.settle(24.9)) == []
    assert told(agents.settle(25)) == ["available"]


def test_agents_may_be_called_by_their_names() -> None:
    agents = QueueAgents(WrapUp(), by_name=True)
    agents.observe(member(MemberName="7"), 0)
    agents.sync([member("QueueMember", Name="7", Location=ANN, Interface="")], 0, 0, 0)
    assert states(agents)["sales"] == {"7": "available"}


def test_a_captured_conversation_makes_its_agent_busy_and_free_again() -> None:
    for name in ("13-answered-agent-hangs-up", "14-answered-callee-hangs-up", "22-amd-human"):
        agents, found = QueueAgents(WrapUp()), list[str]()
        for at, message in enumerate(summaries()[name]):
            found += told(agents.observe(message, at))
        assert found == ["busy", "available"], name


@given(st.permutations(summaries()["22-amd-human"]))
def test_in_any_order_the_newest_status_decides_once_the_call_is_over(messages: list[Message]) -> None:
    agents = QueueAgents(WrapUp())
    for at, message in enumerate(messages):
        agents.observe(message, at)
    agents.observe(messages[0].of(Event="AgentComplete", Queue="sales", Interface="Local/1001@agents/n"), 99)
    agents.observe(member(Interface="Local/1001@agents/n", InCall="0"), 99)
    assert states(agents, 99)["sales"]["Local/1001@agents/n"] == "available"


@pytest.mark.parametrize("text", ["x", "10,=", "sales=", "sales=-1", "1,sales=1e9", "10;20"])
def test_a_wrong_wrap_up_is_refused(text: str) -> None:
    assert "10,sales=30,PJSIP/7=5" in (validate_wrap_up(text) or "")


def test_wrap_up_is_the_agents_own_else_the_queues_else_everybodys() -> None:
    times = parse_wrap_up("10, sales=30, Local/7@a=x/n=5.5")
    assert [times.of("Local/7@a=x/n", "sales"), times.of("y", "sales"), times.of("y", "z")] == [5.5, 30, 10]
    assert parse_wrap_up("").of("y", "z") == 0
