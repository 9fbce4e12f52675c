"""The supervisor: it starts an ended child again, a signal stops all, and no child outlives it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from streamdialer.consumers import supervisor
from streamdialer.consumers.supervisor import Program, Supervisor, pause_s
from streamdialer.errors import CannotBeDone
from tests.support.eventually import eventually

START = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
SLEEPER = START + "time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
TELLER = (
    "import signal, sys, time\n"
    "def tell(number, _): open(sys.argv[1], 'a').write(f'{number}\\n'); sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, tell); signal.signal(signal.SIGINT, tell)\n"
) + SLEEPER


def lines(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def python(code: str, *args: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, args)]


def programs(*commands: Sequence[str], env: dict[str, str] | None = None) -> list[Program]:
    return [
        Program(name=str(number), command=command, env=env or {})
        for number, command in enumerate(commands, 1)
    ]


@asynccontextmanager
async def serving(
    *commands: Sequence[str], shutdown_timeout_s: float = 10.0, env: dict[str, str] | None = None
) -> AsyncIterator[None]:
    """The supervisor in the background; the block must have stopped it, or does so with SIGTERM at its end."""
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            ended = anyio.Event()

            async def serve() -> None:
                await Supervisor(programs(*commands, env=env), shutdown_timeout_s=shutdown_timeout_s).serve()
                ended.set()

            tasks.start_soon(serve)
            yield
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()


def test_pauses_double_and_have_an_end() -> None:
    assert [pause_s(failures) for failures in range(4)] == [0.0, 0.5, 1.0, 2.0]
    assert pause_s(1000) == supervisor.MAX_PAUSE_S


async def test_a_child_that_ended_is_replaced_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "starts"
    with caplog.at_level(logging.INFO, "streamdialer.consumers.supervisor"):
        async with serving(python("import sys; open(sys.argv[1], 'a').write('1\\n')", file)):
            await eventually(lambda: len(lines(file)) >= 4)
    assert {vars(record).get("pause_s", 0) for record in caplog.records} == {0}


async def test_a_child_that_was_killed_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with serving(python(SLEEPER, file)):
        await eventually(lambda: lines(file))
        os.kill(lines(file)[0], signal.SIGKILL)
        await eventually(lambda: len(lines(file)) == 2)


async def test_a_child_whose_loop_is_stuck_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "CHECK_INTERVAL_S", 0.05)
    stuck, well, slow = (tmp_path / name for name in ("stuck", "well", "slow"))
    beats = "import os, pathlib, time\nfile = pathlib.Path(os.environ['STREAMDIALER_HEALTH_FILE'])\n"
    beats += "for _ in range({}): file.touch(); time.sleep(0.05)\n"
    async with serving(
        python(START + beats.format(5) + "time.sleep(60)", stuck),
        python(START + beats.format(2000), well),
        python(SLEEPER, slow),  # has not begun to work
    ):
        await eventually(lambda: len(lines(stuck)) >= 2)
        assert len(lines(well)) == len(lines(slow)) == 1
    told = [vars(record) for record in caplog.records if record.levelno == logging.ERROR]
    assert {(fields["message"], fields["child"]) for fields in told} == {
        ("the event loop of a process is stuck: killed, starting another", "1")
    }


async def test_a_child_that_fails_again_and_again_is_given_growing_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "MIN_PAUSE_S", 0.02)
    with caplog.at_level(logging.WARNING, "streamdialer.consumers.supervisor"):
        async with serving(python("raise SystemExit(3)")):
            await eventually(lambda: len(caplog.records) >= 3)
    told = [vars(record) for record in caplog.records]
    assert [fields["code"] for fields in told[:3]] == [3, 3, 3]
    assert [fields["pause_s"] for fields in told[:3]] == [0.02, 0.04, 0.08]


async def test_children_get_what_is_added_to_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "value"
    code = "import os, sys; open(sys.argv[1], 'a').write(os.environ['REDIS_URL'] + '\\n')"
    async with serving(python(code, file), env={"REDIS_URL": "17"}):
        await eventually(lambda: lines(file))
    assert lines(file)[0] == 17


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_both_signals_reach_every_child_once_as_sigterm(tmp_path: Path, sent: signal.Signals) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                Supervisor(programs(*(python(TELLER, file) for file in files)), shutdown_timeout_s=10).serve
            )
            await eventually(lambda: all(lines(file) for file in files))
            assert all(os.getsid(lines(file)[0]) == lines(file)[0] for file in files)
            os.kill(os.getpid(), sent)
    assert [lines(file)[1:] for file in files] == [[signal.SIGTERM], [signal.SIGTERM]]


async def test_a_child_that_does_not_stop_is_killed_after_the_grace_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MARGIN_S", 0.1)
    file = tmp_path / "pid"
    async with serving(python(DEAF, file), shutdown_timeout_s=0.1):
        await eventually(lambda: lines(file))
    assert not is_alive(lines(file)[0])


async def test_a_second_signal_kills_the_children_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            keeper = Supervisor(programs(python(DEAF, file)), shutdown_timeout_s=60)
            tasks.start_soon(keeper.serve)
            await eventually(lambda: lines(file))
            os.kill(os.getpid(), signal.SIGTERM)
            await keeper.wait_stopping()
            os.kill(os.getpid(), signal.SIGTERM)
    assert not is_alive(lines(file)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
async def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = (
        "import sys, anyio; from streamdialer.consumers.supervisor import Program, Supervisor;"
        "child = Program(name='1', command=sys.argv[1:]);"
        "anyio.run(Supervisor([child], shutdown_timeout_s=60).serve)"
    )
    async with await anyio.open_process(
        [sys.executable, "-c", code, *python(SLEEPER, file)], stdout=None, stderr=subprocess.DEVNULL
    ) as parent:
        await eventually(lambda: lines(file))
        parent.kill()
        await parent.wait()
    await eventually(lambda: not is_alive(lines(file)[0]))


async def test_programs_start_from_the_lowest_rank_when_those_before_are_ready_and_stop_the_other_way(
    tmp_path: Path,
) -> None:
    ready, told = tmp_path / "ready", tmp_path / "told"
    code = (
        "import signal, sys, time\n"
        "def tell(what): open(sys.argv[1], 'a').write(f'{what}{sys.argv[2]}\\n')\n"
        "def stop(*_): time.sleep(0.2); tell(-1); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); tell(1); time.sleep(60)"
    )

    async def wait_ready() -> None:
        await eventually(ready.exists)

    children = [
        Program(name="second", command=python(code, told, 2), rank=1),
        Program(name="first", command=python(code, told, 1), wait_ready=wait_ready),
    ]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Supervisor(children, shutdown_timeout_s=10).serve)
            await eventually(lambda: lines(told))
            await anyio.sleep(0.3)
            assert lines(told) == [11]
            ready.touch()
            await eventually(lambda: len(lines(told)) == 2)
            os.kill(os.getpid(), signal.SIGTERM)
    assert lines(told) == [11, 12, -12, -11]


async def test_a_signal_ends_the_wait_for_a_program_that_never_gets_ready(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = Program(name="first", command=python(SLEEPER, file), wait_ready=anyio.sleep_forever)
    never = Program(name="second", command=python(SLEEPER, tmp_path / "never"), rank=1)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Supervisor([child, never], shutdown_timeout_s=10).serve)
            await eventually(lambda: lines(file))
            os.kill(os.getpid(), signal.SIGTERM)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(("code", "starts"), [(1, 1), (2, 1), (3, 2)])
async def test_a_program_that_must_start_and_refuses_to_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, starts: int
) -> None:
    """A server that is away may come (3)."""
    monkeypatch.setattr(supervisor, "MIN_PAUSE_S", 0.01)
    begun = tmp_path / "begun"
    refuse = START + f"sys.exit({code})"

    async def is_ready() -> None:
        await eventually(lambda: len(lines(begun)) > 1, what="a second start")
        raise CannotBeDone("it was tried again")

    program = Program(name="backend", command=python(refuse, begun), wait_ready=is_ready, must_start=True)
    with anyio.fail_after(20), pytest.raises(ExceptionGroup) as raised:
        await Supervisor([program], shutdown_timeout_s=1).serve()
    said = "it was tried again" if starts > 1 else "the backend does not start; the lines above say why"
    assert raised.group_contains(CannotBeDone, match=said)
    assert (len(lines(begun)) > 1) is (starts > 1)
