"""What `doctor` finds out about Asterisk over AMI: each line that is missing is said, with how to add it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamdialer.config.settings import Settings
from streamdialer.model import CampaignSettings
from streamdialer.operations.asterisk_doctor import check_asterisk
from streamdialer.operations.finding import Finding
from tests.support.ami_server import AmiServer, text_of

GOOD: dict[str, Any] = {
    "actions": ["Status", "CoreStatus", "QueueStatus", "Originate", "Hangup"],
    "booted": True,
    "lines": {
        "manager.conf,general,enabled": "yes",
        "manager.conf,general,channelvars": "ATTEMPT_ID, CAMPAIGN_ID, CONTACT_ID",
        "manager.conf,dialer,read": "system,call,agent,user",
        "queues.conf,sales,strategy": "rrmemory",
        "queues.conf,sales,ringinuse": "no",
        "queues.conf,sales,wrapuptime": "5",
    },
    "dialplan": {"sd-outbound": ["NoOp", "Queue"]},
    "devices": {"PJSIP/trunk-out": "NOT_INUSE", "PJSIP/trunk-down": "UNAVAILABLE"},
    "queues": {"sales": ["PJSIP/1001"]},
}
CAMPAIGN = CampaignSettings(queue_name="sales", trunk="trunk-out")


def asterisk(**changes: Any) -> AmiServer:
    """A server that has everything, but for `changes`."""
    has, server = GOOD | changes, AmiServer(secret="secret")
    server.booted = server.booted if has["booted"] else ""

    def listed(name: str, rows: list[dict[str, str]]) -> Callable[[dict[str, str]], str]:
        def answer(fields: dict[str, str]) -> str:
            about = {"ActionID": fields["ActionID"]}
            text = text_of(Response="Success", EventList="start", **about)
            text += "".join(text_of(**row, **about) for row in rows)
            return text + text_of(Event=f"{name}Complete", EventList="Complete", **about)

        return answer

    def done(fields: dict[str, str], **answer: str) -> str:
        return text_of(Response="Success", ActionID=fields["ActionID"], **answer)

    def show(fields: dict[str, str]) -> str:
        if fields["Context"] not in has["dialplan"]:
            return text_of(Response="Error", ActionID=fields["ActionID"], Message="Did not find context")
        rows = [{"Event": "ListDialplan", "Application": each} for each in has["dialplan"][fields["Context"]]]
        return listed("ShowDialPlan", rows)(fields)

    devices = [
        {"Event": "DeviceStateChange", "Device": name, "State": state}
        for name, state in has["devices"].items()
    ]
    queues = []
    for queue, members in has["queues"].items():
        queues.append({"Event": "QueueParams", "Queue": queue})
        queues += [{"Event": "QueueMember", "Queue": queue, "Location": each} for each in members]
    server.answers |= {
        "ListCommands": lambda fields: done(fields, **dict.fromkeys(has["actions"], "it does")),
        "Getvar": lambda fields: done(fields, Value=has["lines"].get(fields["Variable"][11:-1], "")),
        "ShowDialPlan": show,
        "DeviceStateList": listed("DeviceStateList", devices),
        "QueueStatus": listed("QueueStatus", queues),
        "CoreSettings": lambda fields: done(fields, AsteriskVersion="22.10.1+dfsg"),
    }
    return server


async def findings(
    server: AmiServer, *campaigns: CampaignSettings, originate: Any = "asterisk", secret: str = "secret"
) -> list[Finding]:
    async with server.running():
        settings = Settings(
            originate=originate,
            asterisk_ami_url=f"ami://dialer:{secret}@127.0.0.1:{server.port}",
            asterisk_wrapup_s="5",
        )
        found = [each async for each in check_asterisk(settings, campaigns or [CAMPAIGN])]
    assert {each["Action"] for each in server.received} <= {"Challenge", "Login", *server.answers}
    return found


@pytest.mark.parametrize("originate", ["asterisk", "dialer-api"])
async def test_nothing_is_wrong(originate: str) -> None:
    (only,) = await findings(asterisk(), originate=originate)
    assert only.level == "ok"
    assert "(Asterisk 22.10.1) is watched" in only.text
    assert ("places calls" in only.text) is (originate == "asterisk")


def without(*names: str) -> dict[str, Any]:
    return {"lines": {name: value for name, value in GOOD["lines"].items() if name not in names}}


@pytest.mark.parametrize(
    ("changes", "level", "text", "remedy"),
    [
        (
            {"actions": ["Status", "CoreStatus", "QueueStatus", "Hangup"]},
            "fail",
            "may not place calls",
            "add originate to",
        ),
        (
            {"actions": ["Status", "CoreStatus", "QueueStatus", "Originate"]},
            "fail",
            "may not hang up",
            "add call to its write=",
        ),
        (
            {"actions": ["Originate", "QueueStatus", "Hangup"]},
            "fail",
            "may not list the calls",
            "add reporting to its write=",
        ),
        (
            {"lines": {**GOOD["lines"], "manager.conf,dialer,read": "system,call,user"}},
            "fail",
            "does not see agents who take a call",
            "add agent to its read=",
        ),
        (
            {"lines": {**GOOD["lines"], "manager.conf,general,channelvars": "ATTEMPT_ID"}},
            "warn",
            "do not carry CAMPAIGN_ID, CONTACT_ID",
            "channelvars = ATTEMPT_ID,CAMPAIGN_ID,CONTACT_ID",
        ),
        ({"dialplan": {}}, "fail", "Did not find context", "STREAMDIALER_ASTERISK_CONTEXT"),
        ({"dialplan": {"sd-outbound": ["Playback"]}}, "warn", "has no Queue()", "extensions.conf"),
        ({"queues": {"other": ["x"]}}, "fail", "has no queue sales", "queues.conf"),
        ({"queues": {"sales": []}}, "warn", "nobody is in the queue sales", "add members"),
        (without("queues.conf,sales,ringinuse"), "warn", "rings agents who are in a call", "ringinuse = no"),
        (
            {"lines": {**GOOD["lines"], "queues.conf,sales,wrapuptime": "30"}},
            "warn",
            "leaves agents 30 s after a call, and we count 5 s",
            "STREAMDIALER_ASTERISK_WRAPUP_S to 30",
        ),
    ],
)
async def test_what_is_missing_is_said_in_one_line_with_the_repair(
    changes: dict[str, Any], level: str, text: str, remedy: str
) -> None:
    (only,) = await findings(asterisk(**changes))
    assert (only.check, only.level) == ("asterisk", level)
    assert text in only.text
    assert remedy in only.remedy
    assert "\n" not in only.text + only.remedy


async def test_trunks_that_cannot_take_calls_are_named() -> None:
    campaigns = [CampaignSettings(queue_name="sales", trunk=trunk) for trunk in ("trunk-down", "none", "a/b")]
    found = await findings(asterisk(), *campaigns)
    assert [each.level for each in found] == ["fail", "warn", "warn"]
    assert found[0].text == "trunk is 'a/b', takes the name of an endpoint: letters, digits, - _ ."
    assert "shows no PJSIP/none" in found[1].text
    assert "the trunk PJSIP/trunk-down is UNAVAILABLE" in found[2].text


async def test_a_campaign_that_listens_for_machines_needs_amd_in_the_dialplan() -> None:
    campaign = CampaignSettings(queue_name="sales", trunk="trunk-out", amd=True)
    (only,) = await findings(asterisk(), campaign)
    assert (only.level, "has no AMD()" in only.text, "extensions.conf" in only.remedy) == ("warn", True, True)
    (only,) = await findings(asterisk(dialplan={"sd-outbound": ["AMD", "Queue"]}), campaign)
    assert only.level == "ok"


async def test_options_that_cannot_be_seen_are_not_judged() -> None:
    """A queue in a database, and a user in another file."""
    (only,) = await findings(asterisk(lines={}))
    assert only.level == "ok"


async def test_a_wrong_secret_is_said() -> None:
    (only,) = await findings(asterisk(), secret="wrong")
    assert only.level == "fail"
    assert "Authentication failed" in only.text


async def test_a_user_without_system_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdialer.gateways.ami.link.BOOT_S", 0.1)
    (only,) = await findings(asterisk(booted=False))
    assert only.level == "fail"
    assert "add system to read=" in only.remedy
