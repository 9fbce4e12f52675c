"""Calls that Asterisk is asked for directly: one Originate per attempt, never two, and a verdict for every trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamdialer.gateways.asterisk
from streamdialer.config.settings import Settings
from streamdialer.gateways.asterisk import Asterisk, read_refusal
from streamdialer.gateways.originate_reply import Reply
from streamdialer.gateways.originate_request import OriginateRequest
from tests.support.ami_server import AmiServer, text_of
from tests.support.eventually import eventually

ATTEMPT = "7:12:1:mark"
OURS = ("ATTEMPT_ID", "CAMPAIGN_ID", "CONTACT_ID", "SD_QUEUE")


def call(**changes: object) -> OriginateRequest:
    fields: dict[str, object] = {
        "attempt_id": ATTEMPT,
        "campaign": "7",
        "contact": "12",
        "phone_number": "+573001234567",
        "trunk": "trunk-out",
        "queue": "sales",
        "ring_timeout_s": 30.0,
    }
    return OriginateRequest(**(fields | changes))  # type: ignore[arg-type]


def queued(fields: dict[str, str]) -> str:
    return text_of(Response="Success", ActionID=fields["ActionID"], Message="Originate successfully queued")


def refused(message: str) -> AmiServer:
    server = AmiServer()
    server.answers["Originate"] = lambda fields: text_of(
        Response="Error", ActionID=fields["ActionID"], Message=message
    )
    return server


@pytest.fixture
async def ami() -> AsyncIterator[AmiServer]:
    found = AmiServer(secret="secret")
    found.answers["Originate"] = queued
    async with found.running():
        yield found


def address(ami: AmiServer, options: str = "") -> str:
    return f"ami://dialer:{ami.secret}@127.0.0.1:{ami.port}{options}"


@asynccontextmanager
async def gateway(*addresses: str, **changes: object) -> AsyncIterator[Asterisk]:
    settings = Settings(originate="asterisk", asterisk_ami_url=",".join(addresses), **changes)  # type: ignore[arg-type]
    async with Asterisk(settings) as asterisk:
        yield asterisk


@asynccontextmanager
async def connected(ami: AmiServer, **changes: object) -> AsyncIterator[Asterisk]:
    async with gateway(address(ami), **changes) as asterisk:
        await eventually(lambda: asterisk.are_up)
        yield asterisk


async def test_a_call_is_asked_for_once_with_the_attempt_in_its_channels_id(ami: AmiServer) -> None:
    async with connected(ami) as asterisk:
        reply = await asterisk.originate(call(caller_id="Shop <601555>", variables={"NAME": "Ann"}))
    assert reply == Reply(verdict="placed")
    (sent,) = ami.actions("Originate")
    assert sent == {
        "Action": "Originate",
        "ActionID": ATTEMPT,
        "Channel": "PJSIP/+573001234567@trunk-out",
        "Context": "sd-outbound",
        "Exten": "+573001234567",
        "Priority": "1",
        "Timeout": "30000",
        "Async": "true",
        "ChannelId": f"sd-{ATTEMPT}.",
        "Account": "7",
        "Variable": "__NAME=Ann|__ATTEMPT_ID=7:12:1:mark|__CAMPAIGN_ID=7|__CONTACT_ID=12|__SD_QUEUE=sales",
        "CallerID": "Shop <601555>",
    }
    (login,) = ami.actions("Login")
    assert login["Events"] == "system", "the events of calls are for the event producer"


async def test_the_dialplan_knows_a_call_that_needs_no_agent(ami: AmiServer) -> None:
    async with connected(ami) as asterisk:
        await asterisk.originate(call(queue="", is_agentless=True, variables={"SD_AGENTLESS": "0"}))
    (sent,) = ami.actions("Originate")
    ids = "__ATTEMPT_ID=7:12:1:mark|__CAMPAIGN_ID=7|__CONTACT_ID=12"
    assert sent["Variable"] == f"{ids}|__SD_QUEUE=|__SD_AGENTLESS=1"


async def test_a_call_says_what_follows_when_a_machine_answers(ami: AmiServer) -> None:
    async with connected(ami) as asterisk:
        await asterisk.originate(call(on_machine="message", variables={"SD_ON_MACHINE": "agent"}))
    (sent,) = ami.actions("Originate")
    assert sent["Variable"].endswith("|__SD_QUEUE=sales|__SD_AMD=1|__SD_ON_MACHINE=message")
    assert "agent" not in sent["Variable"]


async def test_values_that_try_to_be_more_than_values_set_nothing(ami: AmiServer) -> None:
    hostile = {
        "A": "1\r\nVariable: X=1",
        "B": "a,EVIL=1",
        "C": 'b",c[d](e)\\',
        "D": "x" * 2000,
        "ATTEMPT_ID": "9:9:9",
        "SD_QUEUE": "other",
        "_F": "fine?",
    }
    async with connected(ami) as asterisk:
        assert (await asterisk.originate(call(variables=hostile))).verdict == "placed"
    (sent,) = ami.actions("Originate")
    assert sent["Variable"].split("|") == [
        "__B=a\\,EVIL=1",
        '__C=b\\"\\,c\\[d\\]\\(e\\)\\\\',
        f"__ATTEMPT_ID={ATTEMPT}",
        "__CAMPAIGN_ID=7",
        "__CONTACT_ID=12",
        "__SD_QUEUE=sales",
    ]


async def test_a_contact_sets_no_variable_that_asterisks_applications_obey(ami: AmiServer) -> None:
    recording = ["MONITOR_EXEC", "MONITOR_FILENAME", "MIXMONITOR_FILENAME", "TOUCH_MONITOR"]
    transfers = [
        "TRANSFER_CONTEXT",
        "FORWARD_CONTEXT",
        "GOTO_ON_BLINDXFR",
        "BLINDTRANSFER",
        "PARKINGDYNCONTEXT",
    ]
    sounds = ["LIMIT_CONNECT_FILE", "BRIDGE_PLAY_SOUND", "ATTENDED_TRANSFER_COMPLETE_SOUND"]
    results = ["MEMBERINTERFACE", "AMDSTATUS", "DIALSTATUS"]
    others = [
        "QUEUE_MAX_PENALTY",
        "QUEUE_PRIO",
        "DYNAMIC_FEATURES",
        "CONNECTED_LINE_SEND_MACRO",
        "OUTBOUND_GROUP",
    ]
    obeyed = [*recording, *transfers, *sounds, *results, *others, "SIPADDHEADER01", "SIP_CODEC"]
    own = {"MESSAGE": "a", "DIALECT": "b", "limite": "c", "queue_name": "d", "LIMIT": "e"}
    async with connected(ami) as asterisk:
        await asterisk.originate(call(variables=dict.fromkeys(obeyed, "touch /tmp/x") | own))
    (sent,) = ami.actions("Originate")
    names = [each.partition("=")[0] for each in sent["Variable"].split("|")]
    assert names == [*(f"__{name}" for name in own), *(f"__{name}" for name in OURS)]


@pytest.mark.parametrize(
    ("changes", "verdict", "hold"),
    [
        ({"phone_number": "٥٧٣٠٠١"}, "never", ""),
        ({"phone_number": "573001\r\nVariable: X=1"}, "never", ""),
        ({"phone_number": "+57)&System(id)"}, "never", ""),
        ({"attempt_id": "7:12:1:" + "m" * 150}, "never", ""),
        ({"trunk": "trunk\r\nAction: Command"}, "not_placed", "campaign"),
        ({"trunk": "a/b"}, "not_placed", "campaign"),
        ({"trunk": ""}, "not_placed", "campaign"),
        ({"caller_id": "1\r\nVariable: X=1"}, "not_placed", "campaign"),
    ],
)
async def test_what_cannot_be_sent_as_it_is_is_not_sent(
    ami: AmiServer, changes: dict[str, object], verdict: str, hold: str
) -> None:
    async with connected(ami) as asterisk:
        reply = await asterisk.originate(call(**changes))
    assert (reply.verdict, reply.hold) == (verdict, hold)
    assert reply.detail
    assert ami.actions("Originate") == []


@given(text=st.text(max_size=60))
def test_an_immediate_error_never_costs_the_contact(text: str) -> None:
    reply = read_refusal(text)
    assert reply.verdict == "not_placed"
    assert reply.hold in ("api", "credentials")
    assert reply.retry_after_s > 0


@pytest.mark.parametrize(
    ("message", "hold", "hint"),
    [
        ("Permission denied", "credentials", "write=originate"),
        ("Originate Access Forbidden: app or data blacklisted", "credentials", "manager.conf"),
        ("Extension does not exist.", "api", "STREAMDIALER_ASTERISK_CONTEXT"),
        ("Invalid channel", "api", "Invalid channel"),
    ],
)
async def test_a_refusal_keeps_the_contact_and_says_what_to_do(message: str, hold: str, hint: str) -> None:
    server = refused(message)
    async with server.running(), gateway(address(server).replace("s3:cr,et", "s3%3Acr%2Cet")) as asterisk:
        await eventually(lambda: asterisk.are_up)
        reply = await asterisk.originate(call())
    assert (reply.verdict, reply.hold) == ("not_placed", hold)
    assert hint in reply.detail


async def test_a_link_that_is_lost_leaves_the_call_unknown_and_it_is_never_asked_for_again(
    ami: AmiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ami.answers["Originate"] = lambda _: ""
    async with connected(ami) as asterisk:
        monkeypatch.setattr(streamdialer.gateways.asterisk, "ACTION_S", 0.2)
        assert (await asterisk.originate(call())).verdict == "unknown", "no answer in time"

        async def cut_when_it_has_come() -> None:
            await eventually(lambda: len(ami.actions("Originate")) == 2)
            await ami.cut()

        monkeypatch.setattr(streamdialer.gateways.asterisk, "ACTION_S", 30)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut_when_it_has_come)
            reply = await asterisk.originate(call(attempt_id="7:13:1:mark"))
        assert reply.verdict == "unknown"
        await eventually(lambda: asterisk.are_up)
        await anyio.sleep(0.2)
    assert len(ami.actions("Originate")) == 2


async def test_without_a_link_nothing_is_sent_and_the_contact_is_kept(ami: AmiServer) -> None:
    async with gateway("ami://dialer:secret@127.0.0.1:1") as asterisk:
        reply = await asterisk.originate(call())
    assert (reply.verdict, reply.hold, reply.retry_after_s) == ("not_placed", "api", 1.0)


async def test_a_refused_log_in_is_said_and_waits_for_a_person(ami: AmiServer) -> None:
    wrong = address(ami).replace(ami.secret, "wrong")
    async with gateway(wrong) as asterisk:

        async def is_refused() -> bool:
            return (await asterisk.originate(call())).hold == "credentials"

        await eventually(is_refused)
        reply = await asterisk.originate(call())
    assert reply.verdict == "not_placed"
    assert "Authentication failed" in reply.detail
    assert "ASTERISK_AMI_URL" in reply.detail


def knows_contexts(*contexts: str) -> AmiServer:
    """Takes numbers of more than three digits, and lists these contexts."""
    server = AmiServer(secret="secret")

    def originate(fields: dict[str, str]) -> str:
        if len(fields["Exten"]) > 3:
            return queued(fields)
        return text_of(Response="Error", ActionID=fields["ActionID"], Message="Extension does not exist.")

    def show(fields: dict[str, str]) -> str:
        if fields["Context"] not in contexts:
            return text_of(Response="Error", ActionID=fields["ActionID"], Message="Did not find context")
        done = text_of(Event="ShowDialPlanComplete", ActionID=fields["ActionID"], EventList="Complete")
        return text_of(Response="Success", ActionID=fields["ActionID"], EventList="start") + done

    server.answers |= {"Originate": originate, "ShowDialPlan": show}
    return server


@pytest.mark.parametrize(
    ("contexts", "takes_another", "verdict"),
    [
        (("sd-outbound",), True, "never"),
        ((), True, "not_placed"),
        (("sd-outbound",), False, "not_placed"),
    ],
    ids=["one number", "context gone", "no number"],
)
async def test_a_number_that_the_dialplan_does_not_take_stops_no_others(
    contexts: tuple[str, ...], takes_another: bool, verdict: str
) -> None:
    """A context that is not there, or takes no number at all, costs no contact."""
    server = knows_contexts(*contexts)
    async with server.running(), connected(server) as asterisk:
        if takes_another:
            assert (await asterisk.originate(call())).verdict == "placed"
        reply = await asterisk.originate(call(attempt_id="7:13:1:m", phone_number="112"))
    assert (reply.verdict, reply.hold) == (verdict, "" if verdict == "never" else "api")
    assert "sd-outbound" in reply.detail or "STREAMDIALER_ASTERISK_CONTEXT" in reply.detail


async def test_a_trunk_has_its_servers(ami: AmiServer) -> None:
    other = AmiServer(secret="other")
    other.answers["Originate"] = queued
    async with (
        other.running(),
        gateway(address(ami, "?trunks=a,b"), address(other)) as asterisk,
    ):
        await eventually(lambda: asterisk.are_up)
        for number, trunk in enumerate(("a", "b", "c", "trunk-out")):
            await asterisk.originate(call(attempt_id=f"7:{number}:1:m", trunk=trunk))
        assert [sent["ActionID"] for sent in ami.actions("Originate")] == ["7:0:1:m", "7:1:1:m"]
        assert [sent["ActionID"] for sent in other.actions("Originate")] == ["7:2:1:m", "7:3:1:m"]
    async with gateway(address(ami, "?trunks=a")) as asterisk:
        assert asterisk.problem_of("a", "") == ""
        assert "'elsewhere', and no server" in asterisk.problem_of("elsewhere", "")
        reply = await asterisk.originate(call(trunk="elsewhere"))
    assert (reply.verdict, reply.hold) == ("not_placed", "campaign")
