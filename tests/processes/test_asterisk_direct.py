"""A real Asterisk places our calls directly: each contact once, whatever breaks between Asterisk and us."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from redis.asyncio import Redis

from streamdialer.broker.connection import connect
from streamdialer.broker.keys import Keys
from streamdialer.config.settings import Settings
from streamdialer.errors import RefusedByServer
from streamdialer.gateways.asterisk import Asterisk
from streamdialer.gateways.originate_request import OriginateRequest
from streamdialer.ledger.recovery import mark_server_trusted
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.asterisk_audit import STATUSES, called, is_over, numbers, overlaps, up
from tests.support.asterisk_platform import Platform
from tests.support.asterisk_processes import JUST_STARTED, Written, process, says
from tests.support.cut_link import CutLink
from tests.support.eventually import eventually
from tests.support.real_asterisk import RealAsterisk, calling, running_asterisk, why_there_is_none

MISSING: Final = why_there_is_none()
pytestmark = [pytest.mark.asterisk, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
RING_S: Final = 4.0
DIRECT: Final = {
    "STREAMDIALER_ORIGINATE": "asterisk",
    "STREAMDIALER_DIAL_INTERVAL_S": "1",
    "STREAMDIALER_RING_TIMEOUT_S": str(RING_S),
    "STREAMDIALER_UNCERTAIN_MARGIN_S": "3",
    "STREAMDIALER_ASTERISK_WRAPUP_S": "desk=1",
}


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAsterisk]:
    with running_asterisk(tmp_path_factory.mktemp("asterisk")) as running:
        time.sleep(RING_S)  # calls are not listed before: telephones might ring from before
        yield running


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
async def client(own_server: EmbeddedServer) -> AsyncIterator[Redis]:
    client = connect(own_server.url)
    await client.flushall()
    await mark_server_trusted(client, Keys())
    yield client
    await client.aclose()


@asynccontextmanager
async def dialing(
    redis_url: str, ami_url: str, platform: Platform, folder: Path, **changes: str
) -> AsyncIterator[Written]:
    """The producer, one replica and the ticks; all campaigns are active."""
    settings = {**DIRECT, "ASTERISK_AMI_URL": ami_url, "BACKEND_URL": platform.url, **changes}
    settings["DIALER_API_URL"] = "http://127.0.0.1:1"  # nobody is there
    client = connect(redis_url)
    written = Written(client)
    try:
        with (
            process(redis_url, folder, "asterisk", **settings),
            process(redis_url, folder, "consume", **settings),
            process(redis_url, folder, "tick", **settings),
        ):
            for campaign in platform.campaigns:
                await client.hset(f"campaign:{campaign}", "status", "active")
            yield written
    finally:
        await client.aclose()


def request(number: str, attempt: str = "", trunk: str = "trunk-out", **variables: str) -> OriginateRequest:
    attempt = attempt or f"1:{number}:{number}:m"
    return OriginateRequest(
        attempt_id=attempt,
        campaign="1",
        contact=number,
        phone_number=number,
        trunk=trunk,
        queue="desk",
        ring_timeout_s=RING_S,
        variables=variables,
    )


@asynccontextmanager
async def gateway(ami_url: str) -> AsyncIterator[Asterisk]:
    settings = Settings(originate="asterisk", asterisk_ami_url=ami_url, ring_timeout_s=RING_S)
    async with Asterisk(settings) as asterisk:
        await eventually(lambda: asterisk.are_up)
        yield asterisk


async def test_each_outcome_ends_its_contact(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """With the log-in of the shipped manager.conf, which may do nothing else."""
    wanted = numbers("57310", "0123456789")
    async with (
        Platform(wanted).serving() as platform,
        dialing(own_server.url, asterisk.url, platform, tmp_path),
    ):
        await eventually(lambda: platform.is_over, within_s=60, what="the end of all calls")
        found = await says(
            own_server.url, "doctor", ASTERISK_AMI_URL=asterisk.url, BACKEND_URL=platform.url, **DIRECT
        )
    assert called(asterisk, wanted) == Counter(wanted)
    for number, contact in platform.contacts.items():
        assert contact["status"] in STATUSES[number[-1]], contact
    assert await client.hget("campaign:1", "total_calls") == "10"
    assert await client.xlen("dialer:dead") == 0
    assert re.search(
        r"ok +asterisk: 127.0.0.1:\d+ \(Asterisk 22\..*\) is watched, and places calls", found
    ), found


FAILING: Final = ["refused", "silent", "down", "without-contact", "unheard-of", "codec", "dns"]


async def test_a_trunk_that_fails_ends_its_calls_and_is_named(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    platform = Platform()
    for at, name in enumerate(FAILING):
        platform.add(at + 2, [f"5732{at}0005"], trunk=f"trunk-{name}")
    async with platform.serving(), dialing(own_server.url, asterisk.url, platform, tmp_path):
        await eventually(lambda: platform.is_over, within_s=60, what="the end of all calls")
        found = await says(
            own_server.url, "doctor", ASTERISK_AMI_URL=asterisk.url, BACKEND_URL=platform.url, **DIRECT
        )
        shown = await says(own_server.url, "contact", "show", "4", "573220005")
        explained = await says(own_server.url, "explain", "4")
    assert "retry (congestion)" in shown
    assert "the trunk took no call; `streamdialer doctor` looks" in explained
    assert {contact["status"] for contact in platform.contacts.values()} == {"failed"}
    log = (tmp_path / "asterisk.log").read_text("utf-8")
    for name in FAILING:
        assert f"PJSIP/trunk-{name}" in log, name
    for name in ("down", "without-contact"):
        assert f"the trunk PJSIP/trunk-{name} is UNAVAILABLE" in found
    assert "shows no PJSIP/trunk-unheard-of" in found


async def test_what_a_campaign_wants_of_machines_happens(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """Campaign 2 has a message of its own, campaign 3 has not."""
    machines = {name: f"5739000{at}06" for at, name in enumerate(("hangup", "own", "any", "agent"))}
    person = "573900005"
    platform = Platform([machines["hangup"]], amd=True)
    platform.add(2, [machines["own"]], amd=True, on_machine="message")
    platform.add(3, [machines["any"]], amd=True, on_machine="message")
    platform.add(4, [machines["agent"], person], amd=True, on_machine="agent")
    async with platform.serving(), dialing(own_server.url, asterisk.url, platform, tmp_path):
        await eventually(lambda: platform.is_over, within_s=90, what="the end of all calls")
    ends = {name: platform.contacts[number]["status"] for name, number in machines.items()}
    assert ends == {"hangup": "machine", "own": "machine", "any": "machine", "agent": "completed"}
    assert platform.contacts[person]["status"] == "completed"
    heard_s = {
        name: float(what.partition(" ")[2])
        for name, number in machines.items()
        for what in asterisk.seen_by(number)
        if what.startswith("HEARD")
    }
    assert heard_s["hangup"] < 0.2
    assert heard_s["own"] == pytest.approx(2, abs=0.2)
    assert heard_s["any"] == pytest.approx(1, abs=0.2)
    counted = {str(each): await client.hget(f"campaign:{each}", "machine") for each in (1, 2, 3, 4)}
    assert counted == dict.fromkeys("1234", "1")
    assert await client.xlen("dialer:dead") == 0


async def test_an_agentless_campaign_plays_its_message_and_the_dialplan_gets_what_the_contact_has(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """The first contact names its own message; no agent is free, and no queue is named."""
    own, usual = wanted = ["573950006", "573950016"]
    agentless: dict[str, Any] = {
        "dial_mode": "agentless",
        "slots": 20,
        "queue_name": None,
        "caller_id": "5716001111",
    }
    platform = Platform(wanted, agents=(), **agentless)
    platform.contacts[own]["custom_data"] = {"MESSAGE": "sd/offer", "name": 'Ana, "la jefa"', "debt": 5}
    channel = dict[str, str]()

    def is_talking() -> bool:
        rows = [each for each in asterisk.variables_of_channels() if each.get("MESSAGE") == "sd/offer"]
        channel.update(rows[0] if rows else {})
        return bool(rows)

    async with platform.serving(), dialing(own_server.url, asterisk.url, platform, tmp_path):
        await eventually(is_talking, within_s=30)
        await eventually(lambda: platform.is_over, within_s=60, what="the end of both calls")
        shown = await says(own_server.url, "outcomes", "--json")
    assert {name: channel[name] for name in ("name", "debt")} == {"name": 'Ana, "la jefa"', "debt": "5"}
    assert (channel["SD_AGENTLESS"], channel["CONTACT_ID"], channel["CAMPAIGN_ID"]) == ("1", own, "1")
    assert channel["ATTEMPT_ID"] in shown
    for number, seconds in ((own, 3), (usual, 1)):
        seen = dict(each.partition(" ")[::2] for each in asterisk.seen_by(number))
        assert asterisk.callers_of(number) == ["5716001111"]
        assert float(seen["HEARD"]) == pytest.approx(seconds, abs=0.2)
    assert {contact["status"] for contact in platform.contacts.values()} == {"completed"}
    assert called(asterisk, wanted) == Counter(wanted)
    assert await client.hget("campaign:1", "abandoned") in (None, "0")
    assert await client.xlen("dialer:dead") == 0


async def test_neither_a_number_nor_a_value_sets_a_variable(asterisk: RealAsterisk) -> None:
    number, note = "5733000002", "a,EVIL=1"
    async with gateway(asterisk.url) as direct, calling(asterisk) as caller:
        hostile = await direct.originate(request("5733000001\r\nVariable: EVIL=1", attempt="1:1:1:m"))
        assert hostile.verdict == "never"
        sent = request(
            number, NOTE=note, LINES="1\r\nVariable: EVIL=1", QUOTED='x\\,"EVIL=1"', SD_QUEUE="other"
        )
        assert (await direct.originate(sent)).verdict == "placed"
        attempt = sent.attempt_id

        async def is_there() -> bool:
            with suppress(RefusedByServer):  # Asterisk answers before it has made the channel
                return await caller.variable_of(attempt, "ATTEMPT_ID") == attempt
            return False

        await eventually(is_there, within_s=5)
        assert await caller.variable_of(attempt, "NOTE") == note
        assert await caller.variable_of(attempt, "QUOTED") == 'x\\,"EVIL=1"'
        assert await caller.variable_of(attempt, "SD_QUEUE") == "desk"
        for name in ("EVIL", "LINES"):
            assert await caller.variable_of(attempt, name) == ""
        await caller.hang_up(attempt)
    assert not [each for each in asterisk.seen() if each.number.startswith("5733000001")]


async def test_an_attempt_that_is_asked_for_twice_rings_once_and_goes_on(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """Asterisk says that the second one failed, with the channel of the first."""
    written, sent = Written(client), request("5734000002")
    with process(own_server.url, tmp_path, "asterisk", ASTERISK_AMI_URL=asterisk.url, **JUST_STARTED):
        await eventually(lambda: written.all("source_live"), what="a list of calls")
        async with gateway(asterisk.url) as direct, gateway(asterisk.url) as other:
            assert (await direct.originate(sent)).verdict == "placed"
            await eventually(lambda: asterisk.seen_by("5734000002"))
            await other.originate(sent)
            await anyio.sleep(2)
        assert [each["type"] for each in await written.of(sent.attempt_id)] == ["call_ringing"]
        await written.until_over(sent.attempt_id)
    assert (await written.of(sent.attempt_id))[-1]["disposition"] == "no_answer"
    assert asterisk.seen_by("5734000002") == ["INVITE", "END CANCEL"]


async def test_a_link_that_is_cut_in_mid_action_and_in_mid_call_costs_no_call_and_repeats_none(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """Who answers stays for two seconds at least: of a call that is over before the link is back, no one tells us."""
    wanted, link = numbers("57350", "2599502255" * 2), CutLink(asterisk.url)
    async with (
        link.running(),
        Platform(wanted, max_retries=3, retry_delay=1).serving() as platform,
        dialing(own_server.url, link.url, platform, tmp_path, LOG_LEVEL="DEBUG"),
    ):
        await eventually(lambda: len(called(asterisk, wanted)) >= 2)
        for _ in range(3):
            link.swallows = b"Action: Originate"
            await eventually(lambda: not link.swallows or platform.is_over, within_s=60)
            await anyio.sleep(1)
            await link.cut()
        await eventually(partial(is_over, client, len(wanted)), within_s=90, what="the end of all calls")
    assert link.swallowed == 3
    assert overlaps([each for each in asterisk.seen() if each.number in wanted]) == []
    times = called(asterisk, wanted)
    assert set(times) == set(wanted)
    lost = (tmp_path / "consume.log").read_text("utf-8").count("verdict=unknown")
    assert lost >= 3
    total = int(str(await client.hget("campaign:1", "total_calls")))
    assert times.total() <= total <= times.total() + lost, "a call counts that may have been placed"
    assert {times[number] for number in wanted if number[-1] in "59"} == {1}
    assert await client.xlen("dialer:dead") == 0


@pytest.mark.parametrize("end", ["restart", "kill"])
async def test_when_asterisk_ends_nobody_is_called_again_too_early(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path, end: str
) -> None:
    """Some ring, some talk. After a kill their telephones ring on, and no one tells us."""
    wanted = numbers("57360" if end == "kill" else "57370", "2255" * 3)
    async with (
        Platform(wanted, max_retries=2, retry_delay=1).serving() as platform,
        dialing(own_server.url, asterisk.url, platform, tmp_path),
    ):
        await eventually(lambda: {"2", "5"} <= {number[-1] for number in up(asterisk, wanted)})
        ended_at = time.time()
        if end == "kill":
            asterisk.kill()
        else:
            asterisk.command("core restart now")
        await eventually(partial(is_over, client, len(wanted)), within_s=120, what="the end of all calls")
    seen = [each for each in asterisk.seen() if each.number in wanted]
    assert set(called(asterisk, wanted)) == set(wanted)
    began = {each.number: each.at for each in seen if each.what == "INVITE" and each.at < ended_at}
    again = {each.number: each.at for each in reversed(seen) if each.what == "INVITE" and each.at > ended_at}
    ringing = {each.number for each in seen} - {each.number for each in seen if each.what == "ANSWER"}
    both = [number for number in began if number in again and number in ringing]
    if end == "kill":
        assert all(again[number] > began[number] + RING_S for number in both), (began, again)
    else:
        assert overlaps(seen) == []
    answered = {each.number for each in seen if each.what == "ANSWER"}
    assert {number for number in answered if called(asterisk, [number])[number] > 1} == set()
    assert await client.xlen("dialer:dead") == 0


async def test_an_asterisk_that_stands_still_costs_no_call_and_repeats_none(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """Some ring, some talk. It stands for longer than a ping may take, and than a call may ring."""
    wanted = numbers("57392", "2255" * 3)
    async with (
        Platform(wanted, max_retries=2, retry_delay=1).serving() as platform,
        dialing(own_server.url, asterisk.url, platform, tmp_path),
    ):
        await eventually(lambda: {"2", "5"} <= {number[-1] for number in up(asterisk, wanted)})
        with asterisk.standing_still():
            await eventually(lambda: "no link to Asterisk" in (tmp_path / "asterisk.log").read_text("utf-8"))
        await eventually(partial(is_over, client, len(wanted)), within_s=120, what="the end of all calls")
    assert overlaps([each for each in asterisk.seen() if each.number in wanted]) == []
    assert set(called(asterisk, wanted)) == set(wanted)
    assert await client.xlen("dialer:dead") == 0


async def test_who_has_answered_while_nothing_watched_is_not_called_again(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """The producer is away from before the calls until after their ends. Each has another end."""
    talk, left, machine = "573940005", "573941005", "573942006"
    platform = Platform([talk], max_retries=3, retry_delay=1)
    platform.add(2, [left], max_retries=3, retry_delay=1, queue_name="nobody")
    platform.add(3, [machine], max_retries=3, retry_delay=1, amd=True)
    settings = {**DIRECT, "ASTERISK_AMI_URL": asterisk.url}
    written = Written(client)
    async with platform.serving():
        settings["BACKEND_URL"] = platform.url
        with process(own_server.url, tmp_path, "asterisk", **settings):
            await eventually(lambda: written.all("source_live"))
        with (
            process(own_server.url, tmp_path, "consume", **settings),
            process(own_server.url, tmp_path, "tick", **settings),
        ):
            for campaign in platform.campaigns:
                await client.hset(f"campaign:{campaign}", "status", "active")
            await eventually(
                lambda: all(asterisk.seen_by(number)[-1:] == ["END BYE"] for number in (talk, left, machine)),
                within_s=30,
                what="the ends of all calls",
            )
            assert await written.all("call_answered", "call_completed", "call_abandoned") == []
            with process(own_server.url, tmp_path, "asterisk", **settings):
                await eventually(lambda: platform.is_over, within_s=30, what="all contacts are final")
    ends = {number: contact["status"] for number, contact in platform.contacts.items()}
    assert ends == {talk: "completed", left: "abandoned", machine: "machine"}
    assert called(asterisk, [talk, left, machine]) == Counter([talk, left, machine])
    assert await client.xlen("dialer:dead") == 0


async def test_calls_that_are_taken_back_stop_ringing_and_are_no_attempts(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    """With the privileges of the shipped manager.conf."""
    wanted = numbers("57393", "2222")
    async with (
        Platform(wanted, max_retries=1, retry_delay=1, ring_timeout=60).serving() as platform,
        dialing(own_server.url, asterisk.url, platform, tmp_path),
    ):
        await eventually(lambda: up(asterisk, wanted) == set(wanted), within_s=30, what="all ring")
        await says(own_server.url, "campaign", "pause", "1", "--hang-up")
        await eventually(lambda: not up(asterisk, wanted), within_s=20, what="no telephone rings")
        are_waiting = {"no_answer", "pending"}
        await eventually(lambda: {each["status"] for each in platform.contacts.values()} <= are_waiting)
        assert {asterisk.seen_by(number)[-1] for number in wanted} == {"END CANCEL"}
        assert {each["attempts"] for each in platform.contacts.values()} == {0}
        await says(own_server.url, "campaign", "start", "1")
        await eventually(lambda: called(asterisk, wanted).total() == 8, within_s=30, what="all ring again")


async def is_said(run: Callable[..., Awaitable[str]], command: str, text: str) -> bool:
    return text in await run(*command.split())


async def test_each_broken_state_is_said_with_what_to_do(
    asterisk: RealAsterisk, own_server: EmbeddedServer, client: Redis, tmp_path: Path
) -> None:
    states: dict[str, tuple[dict[str, str], str, str]] = {
        "gone": (
            {"ASTERISK_AMI_URL": "ami://streamdialer:change-me@127.0.0.1:1"},
            "asterisk_down",
            "127.0.0.1:1: Asterisk cannot be reached",
        ),
        "secret": (
            {"ASTERISK_AMI_URL": asterisk.url.replace("change-me", "other")},
            "asterisk_credentials",
            "Authentication failed; check ASTERISK_AMI_URL",
        ),
        "context": (
            {"STREAMDIALER_ASTERISK_CONTEXT": "nowhere"},
            "asterisk_down",
            "Extension does not exist.; check STREAMDIALER_ASTERISK_CONTEXT",
        ),
    }
    for at, (name, (changes, code, text)) in enumerate(states.items()):
        await client.flushall()
        await mark_server_trusted(client, Keys())
        settings = {"ASTERISK_AMI_URL": asterisk.url, **DIRECT, **changes}
        wanted = numbers(f"5738{at}0", "55")
        ami_url = settings.pop("ASTERISK_AMI_URL")
        async with (
            Platform(wanted).serving() as platform,
            dialing(own_server.url, ami_url, platform, tmp_path, **settings),
        ):
            run = partial(
                says, own_server.url, BACKEND_URL=platform.url, ASTERISK_AMI_URL=ami_url, **settings
            )
            await eventually(partial(is_said, run, "explain 1", text), what=f"{name} in explain")
            await eventually(partial(is_said, run, "top", text.partition(";")[0]), what=f"{name} in top")
            await eventually(partial(is_said, run, "top --json", code), what=f"{name} in top")
            # between two pauses, the campaign is dialed for a moment
            await eventually(partial(is_said, run, "explain 1", "What to do: "), what=f"{name}: what to do")
            doctor = await run("doctor")
        assert "fail asterisk: " in doctor
        assert ("Did not find context nowhere" if name == "context" else text.partition(";")[0]) in doctor
        assert called(asterisk, wanted) == Counter(), "nobody was called"
        assert {contact["attempts"] for contact in platform.contacts.values()} == {0}
