"""A short chaos run, its proxy, and proof that it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec
import pytest

from bench.chaos.__main__ import main
from bench.chaos.faults import CATALOGUE, KINDS
from bench.chaos.proxy import Proxy
from bench.without_guard import GUARDS, run
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
SHORT = tuple(kind for kind in KINDS if CATALOGUE[kind].forgets == "nothing")
"""The kinds of the short run: after a data loss the dialer waits longer than a test should take."""


def chaos(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON document and standard error of one run."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--json", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=240,
        check=False,
    )
    errors = done.stderr.decode(errors="replace")
    assert done.stdout, errors
    return done.returncode, msgspec.json.decode(done.stdout), errors


def test_under_any_fault_no_contact_is_called_twice_or_lost(tmp_path: Path) -> None:
    options = ["--seed", "1", "--seconds", "25", "--contacts", "150"]
    code, figures, errors = chaos(*options, "--keep-logs", str(tmp_path), "--only", *SHORT)
    assert set(figures["faults"]) == set(SHORT)
    assert figures["calls_placed"] > 40, figures
    assert (figures["ended"], figures["calls_after_healing"] > 0) == ("time over", True), "dialing goes on"
    broken = {name: verdict["why"] for name, verdict in figures["verdicts"].items() if not verdict["holds"]}
    assert broken == {}, (code, errors)


def test_without_the_begin_mark_people_are_called_twice(tmp_path: Path) -> None:
    options = ["--seed", "1", "--seconds", "12", "--contacts", "80", "--replicas", "2"]
    only = ["--only", "replica_killed", "replica_stopped", "--without", "begin-mark"]
    code, figures, errors = chaos(*options, "--keep-logs", str(tmp_path), *only)
    assert code == 1
    assert figures["double_calls"] + figures["keys_repeated"] > 0, figures
    assert "fails" in errors


def test_every_guard_can_be_taken_out() -> None:
    program = "from bench.without_guard import GUARDS, REMOVE\nfor guard in GUARDS: REMOVE[guard]()\nprint(len(GUARDS))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(GUARDS)}\n".encode(), b"")


@pytest.mark.parametrize(
    "wrong", [("--only", "earthquake"), ("--seconds", "1"), ("--without", "luck"), ("--replicas", "0")]
)
def test_wrong_usage_is_exit_code_2(wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["luck", "--", "consume"], ["begin-mark", "consume"], []])
def test_the_command_line_without_a_guard_needs_the_guard(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(wrong)
    assert ended.value.code == 2


@asynccontextmanager
async def echo_behind(proxy_of: Callable[[int], Proxy]) -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """An echo server behind a proxy, and the data it received."""
    received: list[bytes] = []

    async def answer(client: anyio.abc.SocketStream) -> None:
        async with client:
            async for data in client:
                received.append(data)
                await client.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with proxy_of(port) as proxy:
            yield proxy, received
        tasks.cancel_scope.cancel()
    await listener.aclose()


def proxy_to(port: int) -> Proxy:
    return Proxy("127.0.0.1", port, Random(1))


async def ask(proxy: Proxy) -> bytes:
    """One request; b"" when the connection is cut before a reply."""
    async with await anyio.connect_tcp("127.0.0.1", proxy.port) as client:
        await client.send(b"ping")
        try:
            return await client.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return b""


async def test_a_lost_reply_is_lost_after_its_request_has_arrived() -> None:
    async with echo_behind(proxy_to) as (proxy, received):
        assert await ask(proxy) == b"ping"
        proxy.lose_replies()
        assert await ask(proxy) == b""
        assert (received, proxy.replies_lost) == ([b"ping", b"ping"], 1)
        await proxy.forward()
        assert await ask(proxy) == b"ping"


async def test_a_proxy_refuses_delays_and_cuts() -> None:
    async with echo_behind(proxy_to) as (proxy, received):
        await proxy.refuse()
        with pytest.raises(OSError, match=r"refused|connect"):
            await ask(proxy)
        await proxy.forward()
        proxy.delay_replies(0.2, 0.2)
        began = anyio.current_time()
        assert await ask(proxy) == b"ping"
        assert anyio.current_time() - began >= 0.2
        proxy.delay_replies(60, 60)
        replies: list[bytes] = []

        async def wait() -> None:
            replies.append(await ask(proxy))

        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            await eventually(lambda: len(received) == 2)
            proxy.cut()
        assert replies == [b""]
