"""The chaos run in a short form, its parts, and the proof that it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec
import pytest

from bench.chaos.__main__ import main
from bench.chaos.event_faults import LATEST_S, EventFaults, duplicated, nameless, reordered
from bench.chaos.faults import CATALOGUE, KINDS
from bench.chaos.proxy import Proxy
from bench.chaos.schedule import plan
from bench.chaos.verdicts import Counter, Figures, evaluate
from bench.without_guard import GUARDS, run
from streamdialer.simulation import EventData, SimEvent

ROOT = Path(__file__).resolve().parents[2]
SHORT = tuple(kind for kind in KINDS if CATALOGUE[kind].forgets == "nothing")
"""The kinds of the short form: a server that has forgotten is waited out, which takes longer than a test may."""


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
    said = done.stderr.decode(errors="replace")
    assert done.stdout, said
    return done.returncode, msgspec.json.decode(done.stdout), said


def test_whatever_breaks_nobody_is_called_twice_and_nobody_is_lost(tmp_path: Path) -> None:
    code, found, said = chaos(
        *(
            "--seed",
            "1",
            "--seconds",
            "25",
            "--contacts",
            "110",
            "--keep-logs",
            str(tmp_path),
            "--only",
            *SHORT,
        )
    )
    assert set(found["faults"]) == set(SHORT)
    assert found["calls_placed"] > 40, found
    broken = {promise: one["why"] for promise, one in found["verdicts"].items() if not one["holds"]}
    # In half a minute every call may be waiting for its fate when the faults end: that is not judged here.
    broken.pop("dialing went on", None)
    assert broken == {}, (code, said)


def test_the_same_run_without_the_begin_mark_calls_people_twice(tmp_path: Path) -> None:
    shared = ("--seed", "1", "--seconds", "12", "--contacts", "80", "--replicas", "2", "--keep-logs")
    only = ("--only", "replica_killed", "replica_stopped")
    code, found, said = chaos(*shared, str(tmp_path / "whole"), *only)
    assert (code, found["double_calls"]) == (0, 0), said
    code, found, said = chaos(*shared, str(tmp_path / "sabotaged"), *only, "--without", "begin-mark")
    assert code == 1
    assert found["double_calls"] + found["keys_repeated"] > 0, found
    assert "fails" in said


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
def test_a_sabotaged_command_line_needs_a_guard(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(wrong)
    assert ended.value.code == 2


# The schedule.


def test_the_schedule_is_a_function_of_the_seed() -> None:
    assert plan(7, 600, KINDS) == plan(7, 600, KINDS)
    assert [one.kind for one in plan(7, 600, KINDS)] != [one.kind for one in plan(8, 600, KINDS)]


def test_a_long_schedule_has_every_kind_with_quiet_between_and_a_short_one_each_once() -> None:
    long, short = plan(1, 600, KINDS), plan(1, 25, KINDS)
    assert {one.kind for one in long} == set(KINDS)
    assert min(later.at_s - one.at_s for one, later in pairwise(long)) >= 8
    assert sorted(one.kind for one in short) == sorted(KINDS)
    assert short[-1].at_s < 30


# The proxy.


@asynccontextmanager
async def echo_behind(proxy_of: Callable[[int], Proxy]) -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A server that keeps what it got and answers the same, behind a proxy."""
    got: list[bytes] = []

    async def answer(client: anyio.abc.SocketStream) -> None:
        async with client:
            async for data in client:
                got.append(data)
                await client.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with proxy_of(port) as proxy:
            yield proxy, got
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


@pytest.mark.anyio
async def test_a_lost_reply_is_lost_after_its_request_has_arrived() -> None:
    async with echo_behind(proxy_to) as (proxy, got):
        assert await ask(proxy) == b"ping"
        proxy.lose_replies()
        assert await ask(proxy) == b""
        assert (got, proxy.replies_lost) == ([b"ping", b"ping"], 1)
        await proxy.forward()
        assert await ask(proxy) == b"ping"


@pytest.mark.anyio
async def test_a_proxy_refuses_delays_and_cuts() -> None:
    async with echo_behind(proxy_to) as (proxy, got):
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
            with anyio.fail_after(5):
                while len(got) < 2:  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.01)
            proxy.cut()
        assert replies == [b""]


# Spoilt events.


def written_by(spoil: Any, number: int = 20) -> Callable[[], Awaitable[list[SimEvent]]]:
    async def told_to_spoil() -> list[SimEvent]:
        out: list[SimEvent] = []
        distortion = EventFaults()
        distortion.spoil(spoil(Random(3)))
        told = [
            SimEvent(float(at), "call_ringing", EventData(campaign_id=1, contact_id=at, call_id=f"call-{at}"))
            for at in range(number)
        ]
        distortion(told, out.extend)
        with anyio.fail_after(LATEST_S + 1):
            while distortion.held:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        return out

    return told_to_spoil


@pytest.mark.anyio
async def test_spoilt_events_are_never_lost() -> None:
    twice = await written_by(duplicated)()
    assert len(twice) >= 40
    shuffled = await written_by(reordered)()
    assert [one.data.contact_id for one in shuffled] != list(range(20))
    assert sorted(one.at for one in shuffled) == list(range(20))
    anonymous = await written_by(nameless)()
    assert any(one.data.call_id is None for one in anonymous)
    assert [one.data.contact_id for one in anonymous] == list(range(20))


# The verdicts.


def good(**changes: Any) -> Figures:
    figures = Figures(
        seed=1,
        without=None,
        ended="time over",
        seconds=60.0,
        contacts=10,
        contacts_final=10,
        faults={"replica_killed": 1},
        timeline=[],
        forgot="nothing",
        calls_placed=20,
        calls_after_healing=10,
        longest_pause_s=1.0,
        double_calls=0,
        keys_repeated=0,
        dialed_after_final=0,
        over_max_retries=0,
        contacts_lost=[],
        retries_forgotten=0,
        counters=[Counter("1", "total_calls", 21, 20, unplaced=1)],
        dead_letters={},
        dead_letters_unexplained=[],
        malformed_injected={},
        uncertain_left=1,
        unresolved=[],
        not_drained=[],
        stood_still=0,
        started_again=0,
        problems=[],
        findings=[],
    )
    return msgspec.structs.replace(figures, **changes)


def broken(figures: Figures) -> list[str]:
    return [verdict.promise for verdict in evaluate(figures) if not verdict.holds]


def test_a_good_run_holds_and_uncertain_attempts_are_not_lost_contacts() -> None:
    assert broken(good()) == []


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"double_calls": 1}, "double calls"),
        ({"dialed_after_final": 1}, "dialed after final"),
        ({"over_max_retries": 1}, "over max retries"),
        ({"contacts_lost": ["contact 1"]}, "contacts lost"),
        ({"retries_forgotten": 1}, "retries forgotten"),
        ({"counters": [Counter("1", "busy", 3, 4, 0)]}, "counters without drift"),
        ({"dead_letters_unexplained": ["never_finished"]}, "dead letters explained"),
        ({"unresolved": ["contact 1"]}, "held calls resolved"),
        ({"not_drained": ["1 entries in events"]}, "drained"),
        ({"problems": ["replica-1 ended by itself with 1"]}, "processes well"),
        ({"calls_after_healing": 0}, "dialing went on"),
    ],
)
def test_each_promise_can_be_broken(changes: dict[str, Any], promise: str) -> None:
    assert broken(good(**changes)) == [promise]


def test_a_server_that_forgot_may_count_too_little_and_never_too_much() -> None:
    too_little = [Counter("1", "busy", 3, 4, 0)]
    too_much = [Counter("1", "busy", 5, 4, 0)]
    still_up = [Counter("1", "active_calls", 1, 0, 0)]
    assert broken(good(forgot="everything", counters=too_little, dialed_after_final=2)) == []
    assert broken(good(forgot="a second", counters=too_little, dialed_after_final=2)) == [
        "dialed after final"
    ]
    assert broken(good(forgot="everything", counters=too_much)) == ["counters without drift"]
    assert broken(good(forgot="everything", counters=still_up)) == ["counters without drift"]
