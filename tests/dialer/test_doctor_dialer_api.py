"""What `doctor`, `top` and the overview say of a Dialer API that does not do as it should."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamdialer.model import TickResult
from streamdialer.simulation.servers.call_centre import CallCentre
from streamdialer.simulation.servers.http import json_reply
from tests.support.cli import Run, ok, read

SERIAL = {"serial": "1", "late": "14", "begun": "19", "longest_ms": "79600", "replies": "19", "unclear": "18"}


def findings_of(run: Run, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in read(run("doctor", "--json"), code):
        found.setdefault(each["check"], []).append(each)
    return found


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_no_statistics_of_a_campaign_that_does_not_exist_are_no_failure(
    run: Run, centre: CallCentre, status: int
) -> None:
    centre.dialer_api.set_responder(
        lambda request: None if "/health" in request.path else json_reply({}, status)
    )
    (finding,) = findings_of(run)["dialer api"]
    assert finding["level"] == "ok"


@pytest.mark.parametrize(("status", "is_active"), [(401, False), (403, True), (500, True)])
def test_refused_credentials_and_no_statistics_of_an_active_campaign_are_one(
    run: Run, db: Any, centre: CallCentre, status: int, is_active: bool
) -> None:
    if is_active:
        db.hset("campaign:1", "status", "active")
    centre.dialer_api.set_responder(
        lambda request: None if "/health" in request.path else json_reply({}, status)
    )
    (finding,) = findings_of(run, 1)["dialer api"]
    assert finding["level"] == "fail"


def test_a_serial_api_is_named_with_what_was_measured(run: Run, db: Any, centre: CallCentre) -> None:
    assert "dialer api calls" not in findings_of(run)
    db.hset("sd:api", mapping=SERIAL)
    serial, unclear = findings_of(run)["dialer api calls"]
    assert "one after the other" in serial["text"]
    assert (
        "14 of the last 19 calls that rang did so long after their request, the slowest after 80 s"
        in serial["text"]
    )
    assert "STREAMDIALER_ORIGINATE=asterisk" in serial["remedy"]
    assert unclear["text"] == "18 of its last 19 replies do not say whether it has placed the call"
    assert {serial["level"], unclear["level"]} == {"warn"}
    assert "one after the other" in ok(run("top"))


def test_a_campaign_without_call_events_is_named(run: Run, db: Any, centre: CallCentre) -> None:
    db.hset("campaign:1", "status", "active")
    seconds, _ = db.time()
    stopped = TickResult(
        status="skipped",
        kind="dial",
        campaign_id="1",
        reason="no_call_events",
        detail="calls were sent and no call event has come since",
        at=seconds * 1000,
    )
    db.xadd("sd:c:1:decisions", {"tick": "1-0", "record": msgspec.json.encode(stopped)})
    db.expire("sd:c:1:decisions", 100)
    (finding,) = findings_of(run, 1)["dialing of campaign 1"]
    assert "no call event has come since" in finding["text"]
    assert "streamdialer asterisk" in finding["remedy"]


def test_a_field_of_a_campaign_that_cannot_be_read_is_named(run: Run, db: Any, centre: CallCentre) -> None:
    db.hset("campaign:1", "status", "active")
    assert len(findings_of(run)["campaign 1"]) == 1
    centre.world.campaigns[1].ring_timeout = 0
    _, field = findings_of(run)["campaign 1"]
    assert (field["level"], field["remedy"]) == ("warn", "correct it in the backend")
    assert field["text"].endswith("(ring_timeout is 0, takes seconds above 0 and up to 600)")
