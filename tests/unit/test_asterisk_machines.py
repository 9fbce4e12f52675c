"""What is said of a call that is listened to for a machine, from what the dialplan says with the least privileges."""

from __future__ import annotations

import pytest

from streamdialer.gateways.ami.messages import Message, channel_id
from streamdialer.producers.asterisk.call_events import ANSWERED_AFTER_S, LISTENS_S, SETTLE_S, Event
from streamdialer.producers.asterisk.calls import Calls

UNIQUEID = channel_id("1:7:1:m")


class OneCall:
    """A call that is up since second 0."""

    def __init__(self) -> None:
        self.calls = Calls(lambda message: message.get("Interface"))
        self.now_s = 0.0
        self.says("Newstate", ChannelStateDesc="Up")

    def says(self, event: str, **fields: str) -> list[Event]:
        message = Message.of(
            Event=event, Uniqueid=UNIQUEID, Linkedid=UNIQUEID, Channel="PJSIP/out-1", **fields
        )
        return self.calls.observe(message, self.now_s)

    def detects(self, status: str = "", on_machine: str = "") -> list[Event]:
        about = {"AMDSTATUS": status, "SD_ON_MACHINE": on_machine} if status else {}
        return self.says("UserEvent", UserEvent="SDDetection", **about)

    def after(self, seconds: float) -> list[Event]:
        self.now_s += seconds
        return self.calls.settle(self.now_s)

    def hangs_up(self) -> list[Event]:
        return self.says("Hangup", Cause="16") + self.after(SETTLE_S)


def said(events: list[Event]) -> list[tuple[str, str]]:
    """Types, and what else they say of who or what it was."""
    return [
        (each["type"].removeprefix("call_"), each.get("disposition") or each.get("answered_by", ""))
        for each in events
    ]


def test_a_person_is_told_when_an_agent_takes_the_call_however_long_it_was_listened_to() -> None:
    call = OneCall()
    assert call.detects() + call.after(ANSWERED_AFTER_S + 1) + call.detects("HUMAN") + call.after(2) == []
    (answered,) = call.says("AgentConnect", Interface="PJSIP/1001", Queue="sales")
    assert (answered["answered_by"], answered["agent_id"]) == ("human", "PJSIP/1001")
    assert said(call.hangs_up()) == [("completed", "")]


@pytest.mark.parametrize("on_machine", ["hangup", "message", ""])
def test_a_machine_is_told_at_once_and_ends_as_one(on_machine: str) -> None:
    call = OneCall()
    assert call.detects() == []
    assert said(call.detects("MACHINE", on_machine)) == [("answered", "machine")]
    assert call.after(60) == [], "the message is played"
    assert said(call.hangs_up()) == [("completed", "machine")]


@pytest.mark.parametrize("knows_variables", [False, True])
def test_a_machine_for_an_agent_is_told_with_the_agent_and_ends_as_any_call(knows_variables: bool) -> None:
    call = OneCall()
    if knows_variables:  # with read=dialplan
        call.says("VarSet", Variable="__SD_ON_MACHINE", Value="agent")
        assert call.says("VarSet", Variable="AMDSTATUS", Value="MACHINE") == []
    else:
        assert call.detects() + call.detects("MACHINE", "agent") == []
    assert call.after(1) == []
    (answered,) = call.says("AgentConnect", Interface="PJSIP/1001", Queue="sales")
    assert (answered["answered_by"], answered["agent_id"]) == ("machine", "PJSIP/1001")
    assert said(call.hangs_up()) == [("completed", "")]


def test_a_machine_that_no_agent_takes_is_no_abandoned_call() -> None:
    call = OneCall()
    call.detects()
    call.detects("MACHINE", "agent")
    call.says("QueueCallerJoin", Queue="sales")
    assert call.after(2) + call.says("QueueCallerAbandon", Queue="sales") == []
    assert said(call.hangs_up()) == [("answered", "machine"), ("completed", "machine")]


def test_who_hangs_up_while_being_listened_to_was_abandoned() -> None:
    call = OneCall()
    call.detects()
    call.after(1)
    assert said(call.hangs_up()) == [("abandoned", "")]


def test_a_result_that_never_comes_is_not_waited_for_without_end() -> None:
    call = OneCall()
    call.detects()
    assert call.after(LISTENS_S + ANSWERED_AFTER_S - 1) == []
    assert said(call.after(1)) == [("answered", "")]


def test_a_list_shows_that_a_call_is_listened_to() -> None:
    call = OneCall()
    call.says("Status", ChannelStateDesc="Up", Application="AMD")
    assert call.after(ANSWERED_AFTER_S + 1) == []
