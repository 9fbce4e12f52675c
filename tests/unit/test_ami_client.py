"""The AMI client against a scripted server on a real socket: no fault makes it stop, hang or send twice."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from streamdialer.errors import CredentialsRefused, RefusedByServer, Unreachable
from streamdialer.gateways.ami import link
from streamdialer.gateways.ami.client import AmiClient, EventsLost, LinkDown, LinkUp, Received
from streamdialer.gateways.ami.connection import LinkLost
from streamdialer.gateways.ami.link import connected
from streamdialer.gateways.ami.messages import Message
from tests.support.ami_server import AmiServer, text_of
from tests.support.eventually import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def waits_short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BOOT_S", 0.5), ("PING_EVERY_S", 0.1)):
        monkeypatch.setattr(link, name, seconds)


@asynccontextmanager
async def serving(server: AmiServer, *, max_events: int = 1000) -> AsyncIterator[AmiClient]:
    """A client of the server that has been connected and told so."""
    client = AmiClient(server.url(), max_events=max_events, longest_pause_s=0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.serve)
        await next_but(client, LinkUp)
        yield client
        tasks.cancel_scope.cancel()


async def next_but(client: AmiClient, kind: type[Received]) -> Received:
    """The next that is of this kind."""
    with anyio.fail_after(5):
        while True:
            received = await client.receive()
            if isinstance(received, kind):
                return received


async def next_event(client: AmiClient) -> Message:
    while True:
        received = await next_but(client, Message)
        assert isinstance(received, Message)
        if received.event != "FullyBooted":
            return received


async def test_it_logs_in_by_challenge_and_never_sends_the_secret() -> None:
    server = AmiServer()
    async with server.running(), serving(server) as client:
        assert client.is_up
        assert [each["Action"] for each in server.received[:2]] == ["Challenge", "Login"]
        assert not any(server.secret in value for each in server.received for value in each.values())


async def test_it_is_up_only_after_fully_booted() -> None:
    server = AmiServer()
    server.booted = ""
    async with server.running(), anyio.create_task_group() as tasks:
        client = AmiClient(server.url())
        tasks.start_soon(client.serve)
        await eventually(lambda: server.actions("Login"))
        assert not client.is_up
        with pytest.raises(LinkLost, match="there is no link") as caught:
            await client.action("Originate")
        assert not caught.value.was_sent
        await server.send(text_of(Event="FullyBooted", Uptime="5"))
        assert await next_but(client, LinkUp) == LinkUp(5)
        tasks.cancel_scope.cancel()


async def test_a_user_who_may_not_see_fully_booted_is_connected_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = AmiServer()
    server.booted = ""
    async with server.running(), serving(server):
        assert "read=system" in caplog.text


async def test_a_refused_log_in_says_so_and_is_tried_again() -> None:
    server = AmiServer()
    async with server.running():
        with pytest.raises(CredentialsRefused, match="Authentication failed") as caught:
            async with connected(server.url(secret="hunter2"), lambda _: None):
                raise AssertionError
        assert "hunter2" not in str(caught.value)
        right, server.secret = server.secret, "another"
        client = AmiClient(server.url(secret=right), longest_pause_s=0.1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.serve)
            await eventually(lambda: len(server.actions("Login")) > 2)
            server.secret = right
            await next_but(client, LinkUp)
            tasks.cancel_scope.cancel()


async def test_answers_find_their_actions_in_any_order_and_split_anywhere() -> None:
    server, held = AmiServer(), list[str]()

    def hold(fields: dict[str, str]) -> str:
        held.append(text_of(Response="Success", ActionID=fields["ActionID"], Message=fields["Number"]))
        return ""

    server.answers["Echo"] = hold
    answers: dict[int, str] = {}
    async with server.running(), serving(server) as client, anyio.create_task_group() as tasks:

        async def echo(number: int) -> None:
            answers[number] = (await client.action("Echo", {"Number": str(number)})).get("Message")

        for number in range(50):
            tasks.start_soon(echo, number)
        await eventually(lambda: len(held) == 50)
        await server.send("".join(reversed(held)), piece=7)
        await eventually(lambda: len(answers) == 50)
    assert answers == {number: str(number) for number in range(50)}


async def test_a_list_is_complete_and_its_items_are_no_events() -> None:
    server = AmiServer()

    def status(fields: dict[str, str]) -> str:
        number = fields["ActionID"]
        start = text_of(Response="Success", ActionID=number, EventList="start")
        items = "".join(text_of(Event="Status", ActionID=number, Uniqueid=str(each)) for each in range(3))
        other = text_of(Event="Hangup", Uniqueid="x")
        return start + items + other + text_of(Event="StatusComplete", ActionID=number, EventList="Complete")

    server.answers["Status"] = status
    server.answers["Refused"] = lambda fields: text_of(
        Response="Error", ActionID=fields["ActionID"], Message="no"
    )
    async with server.running(), serving(server) as client:
        items = await client.list_answer("Status")
        assert [each.get("Uniqueid") for each in items] == ["0", "1", "2"]
        assert (await next_event(client)).get("Uniqueid") == "x"
        for ask in (client.action, client.list_answer):
            with pytest.raises(RefusedByServer, match="Refused refused: no"):
                await ask("Refused")


async def test_a_list_with_a_part_too_long_to_read_is_no_list() -> None:
    server = AmiServer()
    server.answers["Status"] = lambda fields: (
        text_of(Response="Success", ActionID=fields["ActionID"], EventList="start")
        + text_of(Event="Status", ActionID=fields["ActionID"], Long="x" * 100_000)
        + text_of(Event="StatusComplete", ActionID=fields["ActionID"], EventList="Complete")
    )
    async with server.running(), serving(server) as client:
        with pytest.raises(RefusedByServer, match="too long to read"):
            await client.list_answer("Status")
        assert await next_but(client, EventsLost) == EventsLost(1)


async def test_what_is_in_flight_fails_when_the_link_is_cut_and_is_sent_once() -> None:
    server = AmiServer()
    server.answers["Originate"] = lambda _: ""
    failures: list[LinkLost] = []
    async with server.running(), serving(server) as client, anyio.create_task_group() as tasks:

        async def originate(number: int) -> None:
            with pytest.raises(LinkLost) as caught:
                await client.action("Originate", {"Number": str(number)}, timeout_s=30)
            failures.append(caught.value)

        for number in range(100):
            tasks.start_soon(originate, number)
        await eventually(lambda: len(server.actions("Originate")) == 100)
        await server.cut()
        await eventually(lambda: len(failures) == 100, within_s=5)  # long before their time-out
        assert all(failure.was_sent for failure in failures)
        assert isinstance(await next_but(client, LinkDown), LinkDown)
        assert isinstance(await next_but(client, LinkUp), LinkUp)
    sent = [each["Number"] for each in server.actions("Originate")]
    assert sorted(sent, key=int) == [str(number) for number in range(100)]


async def test_a_server_that_holds_the_link_and_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PING_S", 0.3)
    server = AmiServer()
    async with server.running(), serving(server) as client:
        server.is_stopped = True
        down = await next_but(client, LinkDown)
        assert isinstance(down, LinkDown)
        assert "no answer to a ping" in down.reason
        server.resume()
        await next_but(client, LinkUp)


async def test_a_server_that_accepts_and_never_greets_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.5)
    server = AmiServer()
    server.is_stopped = True
    async with server.running():
        with pytest.raises(LinkLost, match="Challenge: no answer within"):
            async with connected(server.url(), lambda _: None):
                raise AssertionError


async def test_it_connects_again_after_a_restart_however_long_it_takes() -> None:
    server = AmiServer()
    async with anyio.create_task_group() as tasks:
        async with server.running():
            client = AmiClient(server.url(), longest_pause_s=0.1)
            tasks.start_soon(client.serve)
            await next_but(client, LinkUp)
        await next_but(client, LinkDown)
        await anyio.sleep(0.5)  # several tries
        async with server.running():
            await next_but(client, LinkUp)
            assert (await client.action("Ping")).get("Ping") == "Pong"
            tasks.cancel_scope.cancel()


async def test_an_action_without_an_answer_ends_and_its_late_answer_harms_nothing() -> None:
    server = AmiServer()
    server.answers["Slow"] = lambda _: ""
    async with server.running(), serving(server) as client:
        with pytest.raises(LinkLost, match=r"no answer within 0\.1 s") as caught:
            await client.action("Slow", timeout_s=0.1)
        assert caught.value.was_sent
        number = server.actions("Slow")[0]["ActionID"]
        await server.send(text_of(Response="Success", ActionID=number))
        assert (await client.action("Ping")).get("Ping") == "Pong"


async def test_a_value_with_a_line_break_is_refused_and_nothing_is_sent() -> None:
    server = AmiServer()
    async with server.running(), serving(server) as client:
        with pytest.raises(ValueError, match="no line break"):
            await client.action("Originate", {"Channel": "PJSIP/573\r\nVariable: X=1"})
        await client.action("Ping")
        assert not server.actions("Originate")


async def test_more_events_than_are_handled_are_counted_and_reading_goes_on() -> None:
    server = AmiServer()
    async with server.running(), serving(server, max_events=100) as client:
        await server.send("".join(text_of(Event="Newchannel", Number=str(each)) for each in range(5000)))
        assert (await client.action("Ping")).get("Ping") == "Pong"  # its answer was behind them all
        seen: list[Received] = []
        while (received := client.receive_nowait()) is not None:
            seen.append(received)
        events = [each for each in seen if isinstance(each, Message) and each.event == "Newchannel"]
        lost = [each for each in seen if isinstance(each, EventsLost)]
        assert [each.get("Number") for each in events] == [str(each) for each in range(len(events))]
        assert len(lost) == 1
        assert len(events) + lost[0].count == 5000
        assert len(seen) <= 101
        await server.send(text_of(Event="Newchannel", Number="next"))
        assert (await next_event(client)).get("Number") == "next"


async def test_a_line_of_ten_megabytes_is_lost_and_told() -> None:
    server = AmiServer()
    async with server.running(), serving(server) as client:
        await server.send(b"Event: Long\r\nValue: " + b"x" * 10_000_000 + b"\r\n\r\n")
        assert await next_but(client, EventsLost) == EventsLost(1)
        await server.send(b"\0\xff: garbage\r\n\r\n" + text_of(Event="Next").encode())
        assert (await next_event(client)).event == "Next"


async def test_tls_is_spoken_and_the_certificate_is_checked(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    command = [*make, "-keyout", str(key), "-out", str(certificate)]
    await anyio.run_process(command, stderr=subprocess.DEVNULL)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    server = AmiServer()
    async with server.running(tls):
        async with connected(server.url(ca_certs=str(certificate)), lambda _: None) as connection:
            assert (await connection.action("Ping")).get("Ping") == "Pong"
        untrusting = msgspec.structs.replace(server.url(ca_certs=str(certificate)), ca_certs="")
        with pytest.raises(Unreachable, match=r"cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
            async with connected(untrusting, lambda _: None):
                raise AssertionError
    assert len(server.actions("Login")) == 1
