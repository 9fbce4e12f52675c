"""Every outcome a real Asterisk 22 was seen to report becomes the right events: in any order, and with a gap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdialer.gateways.ami.messages import Message, channel_id
from streamdialer.producers.asterisk.call_events import ANSWERED_AFTER_S
from streamdialer.producers.asterisk.calls import KEPT_S, Calls
from streamdialer.producers.asterisk.failures import HowItEnded, failure_of
from tests.support.asterisk_capture import FOLDER, read_rows, summaries, whole_captures

Event = dict[str, Any]
ENDS = ("call_completed", "call_failed", "call_abandoned")
WITH_AGENT = ("call_completed", "", "")
OUTCOMES = {
    "01-busy": ("call_failed", "busy", "sip:486"),
    "02-declined": ("call_failed", "failed", "sip:603"),
    "03-no-answer": ("call_failed", "no_answer", "sip:480"),
    "04-not-found": ("call_failed", "invalid", "sip:404"),
    "05-sip-503": ("call_failed", "congestion", "sip:503"),
    "06-trunk-refused": ("call_failed", "congestion", "sip:480"),
    "07-trunk-silent": ("call_failed", "congestion", "sip:480"),
    "11-codec-mismatch": ("call_failed", "failed", "sip:488"),
    "12-trunk-dns": ("call_failed", "congestion", "sip:503"),
    "13-answered-agent-hangs-up": WITH_AGENT,
    "14-answered-callee-hangs-up": WITH_AGENT,
    "15-abandoned-by-callee": ("call_abandoned", "", ""),
    "16-abandoned-queue-timeout": ("call_abandoned", "", ""),
    "17-agent-does-not-pick-up": ("call_abandoned", "", ""),
    "18-answered-without-180": WITH_AGENT,
    "19-cancelled-while-ringing": ("call_failed", "cancelled", "q850:16"),
    "22-amd-human": WITH_AGENT,
    "23-amd-machine": ("call_completed", "machine", ""),
    "24-amd-no-media": ("call_abandoned", "", ""),
}
"""What ends each capture whose call had a channel."""
NO_CHANNEL = (
    "08-trunk-qualified-down",
    "09-trunk-without-contact",
    "10-no-such-endpoint",
    "21-bad-channel-tech",
)
CAPTURES = {
    **{name: messages for name, messages in summaries().items() if name in OUTCOMES},
    **{f"{name} whole": messages for name, messages in whole_captures().items() if name in OUTCOMES},
}


def new_calls(**options: Any) -> Calls:
    return Calls(lambda message: message.get("Interface"), **options)


def replay(messages: list[Message], calls: Calls | None = None) -> list[Event]:
    """The events of messages that come 10 ms apart; time goes on after them."""
    calls, found = calls or new_calls(), list[Event]()
    for at, message in enumerate(messages):
        found += calls.observe(message, at / 100)
        found += calls.settle(at / 100)
    return found + calls.settle(len(messages) / 100 + KEPT_S / 2)


def ends_of(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(e["type"], e.get("disposition", ""), e.get("cause", "")) for e in events if e["type"] in ENDS]


def test_the_captures_are_all_there() -> None:
    assert {name.split()[0] for name in CAPTURES} == set(OUTCOMES)
    assert sum(name.endswith("whole") for name in CAPTURES) >= 12


@pytest.mark.parametrize("name", CAPTURES)
def test_each_capture_ends_as_it_ended(name: str) -> None:
    events = replay(CAPTURES[name])
    assert ends_of(events) == [OUTCOMES[name.split()[0]]]
    types = [each["type"] for each in events]
    assert types[-1] in ENDS
    assert len(set(types)) == len(types)
    (about,) = {(e["campaign_id"], e["contact_id"], e["attempt_id"], e["call_id"]) for e in events}
    assert about[0] == "1"
    assert about[2] == f"1:{about[1]}:1"


@pytest.mark.parametrize("name", [name for name in CAPTURES if OUTCOMES[name.split()[0]] is WITH_AGENT])
def test_a_conversation_is_told_with_its_agent_at_once(name: str) -> None:
    events = {each["type"]: each for each in replay(CAPTURES[name])}
    answered = events["call_answered"]
    assert answered["agent_id"].startswith("Local/100")
    assert answered["queue"] == "sales"
    assert answered.get("answered_by") == ("human" if "amd" in name else None)
    assert ("call_ringing" in events) == ("without-180" not in name)


def test_a_machine_is_told_as_one() -> None:
    answered = next(e for e in replay(CAPTURES["23-amd-machine"]) if e["type"] == "call_answered")
    assert answered["answered_by"] == "machine"


@pytest.mark.parametrize("name", CAPTURES)
@settings(max_examples=25)
@given(data=st.data())
def test_any_order_and_any_repetition_end_the_same(name: str, data: st.DataObject) -> None:
    messages = CAPTURES[name]
    shuffled = data.draw(st.permutations(messages))
    repeated = shuffled + data.draw(st.lists(st.sampled_from(messages), max_size=10))
    assert ends_of(replay(repeated)) == [OUTCOMES[name.split()[0]]]


@pytest.mark.parametrize("name", CAPTURES)
def test_without_tech_cause_the_outcome_is_the_same(name: str) -> None:
    bare = [Message({k: v for k, v in m._values.items() if k != "techcause"}) for m in CAPTURES[name]]
    assert [end[:2] for end in ends_of(replay(bare))] == [OUTCOMES[name.split()[0]][:2]]


@pytest.mark.parametrize("name", CAPTURES)
def test_a_call_of_a_synchronous_originate_has_no_reply_event_and_ends_the_same(name: str) -> None:
    messages = [each for each in CAPTURES[name] if each.event != "OriginateResponse"]
    assert [end[:2] for end in ends_of(replay(messages))] == [OUTCOMES[name.split()[0]][:2]]


@pytest.mark.parametrize("name", [name for name in CAPTURES if name.endswith("whole")])
def test_a_producer_that_starts_in_mid_call_says_the_same_end(name: str) -> None:
    """It learns ids and state from `Status`; that AMD or the queue gave up before, no list shows."""
    messages, state = CAPTURES[name], "Down"
    decisive = [
        at
        for at, each in enumerate(messages)
        if each.event == "QueueCallerAbandon"
        or each.get("UserEvent") == "SDAbandoned"
        or each.get("Variable") == "AMDSTATUS"
    ]
    for at, message in enumerate(messages[:-1]):
        state = message.get("ChannelStateDesc", state)
        was_decided = bool(decisive) and at >= decisive[-1]
        row = Message.of(
            Event="Status", Uniqueid="sd-1:9:0:k.", ChannelStateDesc=state, ChanVariable="ATTEMPT_ID=1:000:1"
        )
        later = [each for each in messages[at + 1 :] if each.event != "OriginateResponse"]
        renamed = [
            Message(
                {
                    k: ["sd-1:9:0:k."] if k.endswith(("uniqueid", "linkedid")) else v
                    for k, v in m._values.items()
                }
            )
            for m in later
        ]
        if not any(each.event == "Hangup" for each in later):
            break
        calls = new_calls()
        calls.sync([row], 0, 0)
        (end,) = ends_of(replay(renamed, calls))
        assert end[:2] == ("call_completed", "") if was_decided else end == OUTCOMES[name.split()[0]], at


@pytest.mark.parametrize("name", NO_CHANNEL)
def test_an_originate_without_a_channel_is_a_failed_call_of_its_attempt(name: str) -> None:
    messages = [Message(m._values | {"uniqueid": ["sd-7:5:0:k."]}) for m in whole_captures()[name]]
    calls = new_calls()
    assert calls.observe(messages[0], 0) == []
    assert calls.settle(0.9) == []
    (event,) = calls.settle(1.0)
    assert event == {
        "type": "call_failed",
        "disposition": "congestion",
        "campaign_id": "7",
        "contact_id": "5",
        "attempt_id": "7:5:0:k",
        "call_id": "sd-7:5:0:k.",
    }
    calls.settle(2 * KEPT_S)
    assert len(calls) == 0


def test_the_failure_of_a_duplicate_does_not_end_the_live_call() -> None:
    uniqueid = channel_id("1:2:0:k")
    calls = new_calls()
    ringing = Message.of(Event="Newstate", Uniqueid=uniqueid, Linkedid=uniqueid, ChannelStateDesc="Ringing")
    refused = Message.of(Event="OriginateResponse", Response="Failure", Reason="0", Uniqueid=uniqueid)
    hangup = Message.of(
        Event="Hangup", Uniqueid=uniqueid, Linkedid=uniqueid, Cause="19", ChannelStateDesc="Ringing"
    )
    for first, second in ((ringing, refused), (refused, ringing)):
        calls = new_calls()
        events = calls.observe(first, 0) + calls.observe(second, 0.1) + calls.settle(30)
        assert [each["type"] for each in events] == ["call_ringing"]
        assert calls.up() == ["1:2:0:k"]
        assert ends_of(calls.observe(hangup, 30)) == [("call_failed", "no_answer", "q850:19")]


@pytest.mark.parametrize(
    ("state", "cause", "reason", "expected"),
    [
        ("Ringing", "0", "0", "cancelled"),
        ("Down", "19", "0", "no_answer"),
        ("Ringing", "16", "3", "no_answer"),
    ],
)
@pytest.mark.parametrize("is_reply_first", [True, False])
def test_an_unclear_hangup_waits_for_the_reply(
    state: str, cause: str, reason: str, expected: str, is_reply_first: bool
) -> None:
    calls, uniqueid = new_calls(), channel_id("1:2:0:k")
    messages = [
        Message.of(Event="OriginateResponse", Response="Failure", Reason=reason, Uniqueid=uniqueid),
        Message.of(Event="Hangup", Cause=cause, ChannelStateDesc=state, Uniqueid=uniqueid, Linkedid=uniqueid),
    ]
    first, second = messages if is_reply_first else reversed(messages)
    assert calls.observe(first, 0) == []
    assert [end[1] for end in ends_of(calls.observe(second, 0.1))] == [expected]


def test_the_ids_of_an_attempt_come_from_its_channel_id_or_its_variables() -> None:
    def about(uniqueid: str, *variables: str) -> Event:
        calls = new_calls()
        fields: dict[str, Any] = {"Uniqueid": uniqueid, "Linkedid": uniqueid, "ChanVariable": list(variables)}
        events = calls.observe(Message.of(Event="Newstate", ChannelStateDesc="Ringing", **fields), 0)
        return {k: v for each in events for k, v in each.items() if k.endswith("_id") and k != "call_id"}

    ours = {"campaign_id": "a b", "contact_id": "007", "attempt_id": "a%20b:007:0:k"}
    assert about("sd-a%20b:007:0:k.") == ours
    assert about("1795.1", "ATTEMPT_ID=a%20b:007:0:k", "CAMPAIGN_ID=other") == ours
    assert about("1795.1", "CAMPAIGN_ID=3", "CONTACT_ID=9") == {"campaign_id": "3", "contact_id": "9"}
    assert about("1795.1", "ATTEMPT_ID=strange", "CAMPAIGN_ID=3", "CONTACT_ID=9") == {
        "campaign_id": "3",
        "contact_id": "9",
    }
    assert about("1795.1", "CONTACT_ID=9") == {}


def test_other_calls_and_other_legs_are_not_ours() -> None:
    calls = new_calls()
    for uniqueid, linkedid in (("1.1", "1.1"), ("1.2", "sd-1:2:0:k.")):
        state = {"Uniqueid": uniqueid, "Linkedid": linkedid, "ChannelStateDesc": "Up"}
        variable = ["ATTEMPT_ID=1:2:0:k"] if linkedid != uniqueid else []
        assert calls.observe(Message.of(Event="Newchannel", ChanVariable=variable, **state), 0) == []
        assert calls.observe(Message.of(Event="Hangup", Cause="16", **state), 1) == []
    assert calls.settle(30) == []
    assert calls.up() == []


def test_a_channel_of_an_attempt_is_a_first_leg_whatever_it_was_joined_with() -> None:
    """After a transfer, a call's Linkedid is that of the oldest call in its bridge."""
    about = {"Uniqueid": "sd-1:2:0:k.", "Linkedid": "1795.1", "ChannelStateDesc": "Up"}
    calls = new_calls()
    calls.sync([Message.of(Event="Status", **about)], 0, 0)
    assert calls.up() == ["1:2:0:k"]
    assert calls.is_watched("1:2:0:k")
    calls = new_calls()
    events = calls.observe(Message.of(Event="Hangup", Cause="16", **about), 0) + calls.settle(2)
    assert [each["attempt_id"] for each in events] == ["1:2:0:k"]


def test_a_call_that_stays_up_without_an_agent_counts_as_answered() -> None:
    calls = new_calls()
    up = Message.of(Event="Newstate", Uniqueid="sd-1:2:0:k.", ChannelStateDesc="Up")
    assert calls.observe(up, 0) == calls.settle(ANSWERED_AFTER_S - 0.1) == []
    (event,) = calls.settle(ANSWERED_AFTER_S)
    assert (event["type"], event.get("agent_id")) == ("call_answered", None)


def test_a_list_shows_the_calls_that_are_up_and_who_talks() -> None:
    rows = read_rows((FOLDER / "30-sync-Status.txt").read_text())
    named = [
        Message(row._values | {"chanvariable": ["CAMPAIGN_ID=1", f"CONTACT_ID={n}"]})
        for n, row in enumerate(rows)
    ]
    calls = new_calls()
    events = calls.sync(named, 0, 0) + calls.settle(1)
    assert calls.up() == ["live-ring", "live-talk", "live-wait"]
    assert [(each["type"], each["call_id"]) for each in events] == [
        ("call_ringing", "live-ring"),
        ("call_answered", "live-talk"),
    ]


def test_a_list_brings_the_ids_of_a_call_whose_beginning_was_missed() -> None:
    rows = read_rows((FOLDER / "30-sync-Status-Variables.txt").read_text())
    calls = new_calls()
    (event,) = calls.sync([row for row in rows if row.event == "Status"], 0, 0)
    assert (event["type"], event["attempt_id"], event["contact_id"]) == ("call_ringing", "1:12:1", "12")
    assert calls.up() == ["1:12:1"]


def test_a_call_that_is_missing_in_a_list_is_up_no_longer_unless_it_is_newer() -> None:
    calls = new_calls()
    for at, number in enumerate("12"):
        calls.observe(
            Message.of(Event="Newchannel", Uniqueid=f"sd-1:{number}:0:k.", ChannelStateDesc="Down"), at
        )
    calls.sync([], asked_s=0.5, now_s=2)
    assert calls.up() == ["1:2:0:k"]
    calls.sync([], asked_s=30, now_s=30)
    calls.sync([], asked_s=60, now_s=60)
    assert len(calls) == 0


def test_an_answer_that_was_seen_is_said_before_a_list_misses_the_call() -> None:
    calls = new_calls()
    for at, state in enumerate(("Ringing", "Up")):
        calls.observe(Message.of(Event="Newstate", Uniqueid="sd-1:1:0:k.", ChannelStateDesc=state), at)
    assert [each["type"] for each in calls.sync([], 2, 2)] == ["call_answered"]
    assert calls.up() == []
    assert calls.sync([], 4, 4) == calls.settle(30) == []


def test_a_call_is_listed_until_its_end_is_said() -> None:
    calls, about = new_calls(), {"Uniqueid": "sd-1:1:0:k.", "ChannelStateDesc": "Ringing"}
    calls.observe(Message.of(Event="Newstate", **about), 0)
    assert calls.observe(Message.of(Event="Hangup", Cause="16", **about), 10) == []
    assert calls.up() == ["1:1:0:k"]
    assert [each["type"] for each in calls.settle(10.6)] == ["call_failed"]
    assert calls.up() == []


def test_a_restart_ends_no_call_that_began_after_it() -> None:
    calls = new_calls()
    for number, at in (("1", 1), ("2", 3)):
        up = Message.of(Event="Newstate", Uniqueid=f"sd-1:{number}:0:k.", ChannelStateDesc="Up")
        calls.observe(up, at)
    assert [each["contact_id"] for each in calls.restart(linked_s=2, now_s=4)] == ["1"]
    assert calls.up() == ["1:2:0:k"]


def test_after_a_restart_conversations_are_over_and_nothing_is_said_of_phones_that_ring() -> None:
    calls = new_calls()
    for number, state in (("1", "Up"), ("2", "Ringing")):
        calls.observe(Message.of(Event="Newstate", Uniqueid=f"sd-1:{number}:0:k.", ChannelStateDesc=state), 0)
    events = calls.restart(3, 3)
    assert [(each["type"], each["contact_id"]) for each in events] == [("call_completed", "1")]
    assert calls.up() == []
    assert calls.settle(90) == []


def test_memory_is_bounded_whatever_comes() -> None:
    calls = new_calls(max_calls=100)
    for number in range(5000):
        calls.observe(Message.of(Event="Newchannel", Uniqueid=f"sd-1:{number}:0:k."), number / 1000)
        calls.settle(number / 1000)
    assert len(calls) == 100
    assert len(calls._looks) <= 100
    assert calls.forgotten == 4900
    calls = new_calls()
    for number in range(5000):
        for event in ("Newchannel", "Hangup"):
            message = Message.of(Event=event, Uniqueid=f"sd-1:{number}:0:k.", Cause="17")
            calls.observe(message, number)
        calls.settle(number)
    assert len(calls) <= KEPT_S + 2
    assert len(calls._over) <= KEPT_S + 2


@pytest.mark.parametrize(
    ("cause", "rang", "reasons", "expected"),
    [
        (0, True, {3}, "no_answer"),
        (0, False, {3}, "congestion"),
        (0, True, {0}, "cancelled"),  # hung up in Asterisk, or Asterisk shuts down
        (0, False, {0}, "failed"),
        (0, True, set(), "no_answer"),
        (16, True, {3}, "no_answer"),
        (16, True, {0}, "cancelled"),
        (18, False, {0}, "congestion"),
        (19, False, {0}, "no_answer"),  # the far end says that the phone is off
        (19, False, set(), "congestion"),
        (20, False, {0}, "no_answer"),
        (28, False, {0}, "invalid"),
        (127, True, {0}, "failed"),
    ],
)
def test_what_the_captures_do_not_show(cause: int, rang: bool, reasons: set[int], expected: str) -> None:
    assert failure_of(HowItEnded(cause=cause, rang=rang, reasons=frozenset(reasons)))[0] == expected
