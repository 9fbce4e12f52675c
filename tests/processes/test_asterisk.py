"""A real Asterisk, its telephones, `streamdialer asterisk`: each outcome becomes the events it should."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.errors import RefusedByServer
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.asterisk_audit import watch_agents, wrong_looks
from tests.support.asterisk_platform import Platform
from tests.support.asterisk_processes import JUST_STARTED, Written, process
from tests.support.eventually import eventually
from tests.support.real_asterisk import (
    RealAsterisk,
    calling,
    running_asterisk,
    why_there_is_none,
)

MISSING: Final = why_there_is_none()
pytestmark = [pytest.mark.asterisk, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


class Outcome(msgspec.Struct, frozen=True):
    """How a call is placed, and what the events say of it."""

    number: str
    events: str
    """Their types without `call_`, in order."""
    end: dict[str, str] = {}
    """What the last one says."""
    variables: dict[str, str] = {}
    trunk: str = "trunk-out"
    timeout_s: float = 20
    hang_up: bool = False
    truth: str = ""
    """The last thing the callee saw."""
    answered_by: str | None = None


PATIENT: Final = {"SD_WAIT": "20"}
"""Until one of the three agents is free."""
OUTCOMES: Final = {
    "busy": Outcome("100", "failed", {"disposition": "busy", "cause": "sip:486"}, truth="END 486"),
    "declined": Outcome("101", "failed", {"disposition": "failed", "cause": "sip:603"}, truth="END 603"),
    "no_answer": Outcome(
        "102", "ringing failed", {"disposition": "no_answer"}, timeout_s=2, truth="END CANCEL"
    ),
    "not_found": Outcome("103", "failed", {"disposition": "invalid", "cause": "sip:404"}, truth="END 404"),
    "sip_503": Outcome("104", "failed", {"disposition": "congestion", "cause": "sip:503"}, truth="END 503"),
    "refused": Outcome("110", "failed", {"disposition": "congestion"}, trunk="trunk-refused", timeout_s=2),
    "silent": Outcome("111", "failed", {"disposition": "congestion"}, trunk="trunk-silent", timeout_s=2),
    "down": Outcome("112", "failed", {"disposition": "congestion"}, trunk="trunk-down"),
    "no_contact": Outcome("113", "failed", {"disposition": "congestion"}, trunk="trunk-without-contact"),
    "no_endpoint": Outcome("114", "failed", {"disposition": "congestion"}, trunk="trunk-unheard-of"),
    "codec": Outcome(
        "115", "ringing failed", {"disposition": "failed", "cause": "sip:488"}, trunk="trunk-codec"
    ),
    "dns": Outcome("116", "failed", {"disposition": "congestion"}, trunk="trunk-dns"),
    "agent_ends": Outcome("125", "ringing answered completed", {}, PATIENT, truth="END BYE"),
    "callee_ends": Outcome("127", "ringing answered completed", {}, {"SD_QUEUE": "own"}, truth="END own BYE"),
    "no_ring": Outcome("129", "answered completed", {}, PATIENT, truth="END BYE"),
    "leaves_queue": Outcome(
        "137", "ringing abandoned", {}, {"SD_QUEUE": "nobody", "SD_WAIT": "20"}, truth="END own BYE"
    ),
    "queue_timeout": Outcome(
        "145", "ringing abandoned", {}, {"SD_QUEUE": "nobody", "SD_WAIT": "1"}, truth="END BYE"
    ),
    "deaf_agent": Outcome(
        "155", "ringing abandoned", {}, {"SD_QUEUE": "deaf", "SD_WAIT": "3"}, truth="END BYE"
    ),
    "safe_harbour": Outcome(
        "206",
        "ringing abandoned",
        {},
        {"SD_QUEUE": "nobody", "SD_SAFE_HARBOUR": "sd/machine-2"},
        truth="END BYE",
    ),
    "taken_back": Outcome(
        "162", "ringing failed", {"disposition": "cancelled"}, hang_up=True, truth="END CANCEL"
    ),
    "machine": Outcome(
        "176",
        "ringing answered completed",
        {"disposition": "machine"},
        {"SD_AMD": "1"},
        truth="END BYE",
        answered_by="machine",
    ),
    "person": Outcome(
        "185",
        "ringing answered completed",
        {},
        PATIENT | {"SD_AMD": "1"},
        truth="END BYE",
        answered_by="human",
    ),
}


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAsterisk]:
    with running_asterisk(tmp_path_factory.mktemp("asterisk")) as running:
        yield running


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="module")
async def written(
    asterisk: RealAsterisk, own_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Written]:
    """What `streamdialer asterisk` has written of one call of each outcome, all placed at once."""
    client = connect(own_server.url)
    written, folder = Written(client), tmp_path_factory.mktemp("producer")
    try:
        with process(own_server.url, folder, "asterisk", ASTERISK_AMI_URL=asterisk.url, **JUST_STARTED):
            await eventually(lambda: written.all("source_live"), what="a list of calls")
            await place_all(asterisk, written)
        yield written
    finally:
        await client.aclose()


async def place_all(asterisk: RealAsterisk, written: Written) -> None:
    async with calling(asterisk) as caller:
        for name, outcome in OUTCOMES.items():
            about = {"trunk": outcome.trunk, "timeout_s": outcome.timeout_s, **outcome.variables}
            await caller.call(attempt_of(name), outcome.number, **about)  # type: ignore[arg-type]
        for name in [name for name, outcome in OUTCOMES.items() if outcome.hang_up]:
            await eventually(partial(written.of, attempt_of(name)), what=f"{name} rings")
            await caller.hang_up(attempt_of(name))
        await written.until_over(*map(attempt_of, OUTCOMES))


def attempt_of(name: str) -> str:
    return f"1:{list(OUTCOMES).index(name)}:1:{name}"


@pytest.mark.parametrize("name", OUTCOMES)
async def test_an_outcome_becomes_its_events(written: Written, asterisk: RealAsterisk, name: str) -> None:
    outcome = OUTCOMES[name]
    events = await written.of(attempt_of(name))
    assert " ".join(each["type"].removeprefix("call_") for each in events) == outcome.events, events
    assert {key: events[-1].get(key) for key in outcome.end} == outcome.end
    if "answered" in outcome.events:
        assert events[-2].get("answered_by") == outcome.answered_by
    if "answered" in outcome.events and "disposition" not in outcome.end:
        assert events[-2]["agent_id"].startswith("Local/100")
        assert events[-2]["queue"] == outcome.variables.get("SD_QUEUE", "desk")
    seen = asterisk.seen_by(outcome.number)
    assert (seen[-1:] or [""])[0] == outcome.truth or not outcome.truth
    assert ("ANSWER" in seen) is (outcome.events.split()[-1] in ("completed", "abandoned"))


async def test_what_cannot_be_placed_is_refused_at_once(asterisk: RealAsterisk) -> None:
    async with calling(asterisk) as caller:
        with pytest.raises(RefusedByServer, match="Extension does not exist"):
            await caller.call("1:90:1:x", "not a number")


async def test_the_shipped_queue_is_listed(asterisk: RealAsterisk, written: Written) -> None:
    lists = {each["queue"]: each for each in await written.all("queue_agents")}
    assert lists["sales"]["agents"] == [{"agent_id": "PJSIP/1001", "state": "offline"}], (
        "no such telephone here"
    )
    assert {agent["agent_id"] for agent in lists["desk"]["agents"]} == {
        f"Local/{number}@agents/n" for number in (1001, 1002, 1003)
    }


async def test_the_shipped_trunk_and_telephone_are_there(asterisk: RealAsterisk) -> None:
    shown = asterisk.command("pjsip show endpoints")
    for name in ("my-trunk", "1001"):
        assert f" {name} " in shown, shown


async def test_a_person_whom_no_agent_takes_hears_the_safe_harbour_message(
    asterisk: RealAsterisk, written: Written
) -> None:
    """The default wait is two seconds; the message takes two."""
    seen = {each.what.partition(" ")[0]: each for each in asterisk.seen() if each.number == "206"}
    assert (await written.of(attempt_of("safe_harbour")))[-1]["type"] == "call_abandoned"
    assert 3.5 < seen["END"].at - seen["ANSWER"].at < 6
    assert float(seen["HEARD"].what.partition(" ")[2]) >= 1.9


async def test_a_list_for_the_contacts(
    asterisk: RealAsterisk, own_server: EmbeddedServer, written: Written, tmp_path: Path
) -> None:
    """Two producers, two replicas; the backend says that all agents are available, always."""
    await written.client.flushall()
    await mark_server_trusted(written.client, Keys())
    numbers = [f"5730012345{number:02}{digit}" for number, digit in enumerate("025678" * 8)]
    async with calling(asterisk) as caller, Platform(numbers, caller=caller).serving() as platform:
        url, settings = own_server.url, {"BACKEND_URL": platform.url, "DIALER_API_URL": platform.url}
        settings |= {
            "STREAMDIALER_DIAL_INTERVAL_S": "1",
            "STREAMDIALER_RING_TIMEOUT_S": "4",
            **WRAP_UP_UNSEEN,
        }
        with ExitStack() as running:
            for _ in range(2):
                running.enter_context(
                    process(url, tmp_path, "asterisk", ASTERISK_AMI_URL=asterisk.url, **settings)
                )
            await eventually(lambda: written.all("source_live"), what="a list of calls")
            for _ in range(2):
                running.enter_context(process(url, tmp_path, "consume", **settings))
            running.enter_context(process(url, tmp_path, "tick", **settings))
            await written.client.hset("campaign:1", "status", "active")
            states = await watch_agents(asterisk, written.client, "desk", lambda: platform.is_over)
        totals: Any = await written.client.hgetall("campaign:1")
    seen = [each for each in asterisk.seen() if each.number in numbers]
    invited = Counter(each.number for each in seen if each.what == "INVITE")
    answered = {each.number for each in seen if each.what == "ANSWER"}
    assert set(invited.values()) == {1}, "nobody is called twice"
    assert set(invited) == set(numbers)
    assert int(totals["total_calls"]) == len(numbers)
    assert int(totals["answered_calls"]) == len(answered)
    assert await written.client.xlen("dialer:dead") == 0
    ends = {number: platform.contacts[number]["status"] for number in numbers}
    assert {end for number, end in ends.items() if number[-1] == "0"} == {"busy"}
    assert {end for number, end in ends.items() if number[-1] == "2"} == {"no_answer"}
    assert {end for number, end in ends.items() if number[-1] in "5678"} <= {"completed", "abandoned"}
    wrong, looks = wrong_looks(states)
    assert wrong <= 0.02 * looks, (wrong, looks)
    assert {look.theirs for look in states} > {frozenset()}, "agents were busy, and free"


WRAP_UP_UNSEEN: Final = {"STREAMDIALER_ASTERISK_WRAPUP_S": "0"}
"""Asterisk's own list does not show it, either."""


async def test_a_value_sets_no_other_variable(asterisk: RealAsterisk) -> None:
    attempt, note = "1:91:1:x", 'a,EVIL=1\\,"EVIL=2"'
    async with calling(asterisk) as caller:
        with pytest.raises(ValueError, match="line break"):
            await caller.call(attempt, "573001234502", NOTE="a\r\nVariable: EVIL=1")
        await caller.call(attempt, "573001234502", NOTE=note)

        async def is_there() -> bool:
            with suppress(RefusedByServer):  # Asterisk answers before it has made the channel
                return await caller.variable_of(attempt, "NOTE") == note
            return False

        await eventually(is_there, within_s=5)
        assert await caller.variable_of(attempt, "EVIL") == ""
        await caller.hang_up(attempt)


async def talk_and_ring(asterisk: RealAsterisk, written: Written, talking: str, ringing: str) -> None:
    """One call is answered by an agent, one rings."""
    async with calling(asterisk) as caller:
        await caller.call(talking, "573001234605", SD_WAIT="20")
        await caller.call(ringing, "573001234602", timeout_s=60)
        for attempt, kind in ((talking, "call_answered"), (ringing, "call_ringing")):

            async def is_there(attempt: str = attempt, kind: str = kind) -> bool:
                return kind in [each["type"] for each in await written.of(attempt)]

            await eventually(is_there, what=f"{kind} of {attempt}")


async def test_a_restart_in_order_takes_ringing_calls_back(
    asterisk: RealAsterisk, own_server: EmbeddedServer, written: Written, tmp_path: Path
) -> None:
    await written.client.flushall()
    talking, ringing = "1:92:1:t", "1:93:1:r"
    with process(own_server.url, tmp_path, "asterisk", ASTERISK_AMI_URL=asterisk.url, **JUST_STARTED):
        await eventually(lambda: written.all("source_live"), what="a list of calls")
        await talk_and_ring(asterisk, written, talking, ringing)
        asterisk.command("core restart now")
        await written.until_over(talking, ringing)
    ends = [(await written.of(attempt))[-1] for attempt in (talking, ringing)]
    assert [each["type"] for each in ends] == ["call_completed", "call_failed"]
    assert ends[1]["disposition"] == "cancelled"
    assert asterisk.seen_by("573001234602")[-1] == "END CANCEL"


async def test_after_a_kill_telephones_may_ring_on_and_nothing_is_concluded_of_them(
    asterisk: RealAsterisk, own_server: EmbeddedServer, written: Written, tmp_path: Path
) -> None:
    await written.client.flushall()
    talking, ringing, ring_s = "1:94:1:t", "1:95:1:r", 8.0
    changes = {"ASTERISK_AMI_URL": asterisk.url, "STREAMDIALER_RING_TIMEOUT_S": str(ring_s)}
    with process(own_server.url, tmp_path, "asterisk", **changes):
        await eventually(lambda: written.all("source_live"), what="a list of calls")
        await talk_and_ring(asterisk, written, talking, ringing)
        asterisk.kill()
        killed_at = time.time()
        await written.until_over(talking)
        await eventually(partial(written.lists_after, killed_at), within_s=60, what="a list after the kill")
        (listed_at, calls), *_ = await written.lists_after(killed_at)
    assert (await written.of(talking))[-1]["type"] == "call_completed"
    assert [each["type"] for each in await written.of(ringing)] == ["call_ringing"]
    assert calls == []
    assert listed_at - killed_at > ring_s, "until then the telephone may ring"
