"""Log lines: their two formats, and how a flood of the same failure is shortened."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdialer.observability.logs import MAX_CAMPAIGNS_NAMED, FloodHandler, JsonFormatter, TextFormatter
from tests.support.eventually import wait_until

WINDOW_S = 0.3


class Flooded:
    """A logger that writes JSON through the handler, and what has been written."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.handler = FloodHandler(self.written, WINDOW_S)
        self.handler.setFormatter(JsonFormatter())
        self.log = logging.getLogger("streamdialer.test_flood")
        self.log.propagate = False
        self.log.setLevel(logging.DEBUG)
        self.log.handlers[:] = [self.handler]

    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.written.getvalue().splitlines()]


@pytest.fixture
def flooded() -> Iterator[Flooded]:
    one = Flooded()
    yield one
    one.handler.close()


def test_a_flood_is_its_first_line_at_once_and_then_a_count(flooded: Flooded) -> None:
    for number in range(500):
        flooded.log.warning("originate", extra={"attempt": f"7:{number}:1", "verdict": "unknown"})
    first, *rest = flooded.lines()
    assert (first["attempt"], rest) == ("7:0:1", [])
    wait_until(lambda: len(flooded.lines()) == 2)
    summary = flooded.lines()[1]
    assert (summary["message"], summary["level"], summary["verdict"]) == ("originate", "WARNING", "unknown")
    assert (summary["repeated"], summary["attempt"]) == (499, "7:499:1")


def test_a_flood_that_goes_on_is_one_line_per_window(flooded: Flooded) -> None:
    began, told = time.monotonic(), 0
    while time.monotonic() < began + 4 * WINDOW_S:
        flooded.log.error("will try again", extra={"stream": "dialer:updates", "error": str(told)})
        told += 1
        time.sleep(0.001)
    flooded.handler.close()
    lines = flooded.lines()
    assert 4 <= len(lines) <= 6
    assert sum(line.get("repeated", 1) for line in lines) == told, "each is counted once"


def test_after_a_flood_has_ended_the_next_failure_is_logged_at_once(flooded: Flooded) -> None:
    flooded.log.error("cannot read")
    wait_until(lambda: not flooded.handler._floods)
    flooded.log.error("cannot read")
    assert ["repeated" in line for line in flooded.lines()] == [False, False]


def test_other_reasons_and_other_messages_are_other_failures(flooded: Flooded) -> None:
    for reason in ("do_not_call", "window_closed"):
        flooded.log.warning("call is not placed", extra={"reason": reason, "attempt": "1:1:1"})
    flooded.log.warning("cannot renew", extra={"reason": "do_not_call"})
    flooded.log.error("cannot renew", extra={"reason": "do_not_call"})
    assert len(flooded.lines()) == 4


def test_changes_of_state_are_never_held_back(flooded: Flooded) -> None:
    for number in range(50):
        flooded.log.info("call_answered", extra={"campaign": "1", "contact": number})
    assert [line["contact"] for line in flooded.lines()] == list(range(50))


def test_the_campaigns_of_a_flood_are_named(flooded: Flooded) -> None:
    for campaign in range(5):
        flooded.log.error("no call event has come", extra={"campaign": str(campaign)})
    for campaign in range(MAX_CAMPAIGNS_NAMED + 5):
        flooded.log.error("tick", extra={"campaign_id": campaign})
    flooded.handler.close()
    told = {line["message"]: line for line in flooded.lines() if "repeated" in line}
    assert told["no call event has come"]["campaigns"] == "1,2,3,4"
    assert told["tick"]["campaigns"] == ",".join(map(str, range(1, MAX_CAMPAIGNS_NAMED + 1))) + ",…"


TELL = (
    "import logging, sys; from streamdialer.observability.logs import set_up_logging;"
    "set_up_logging(sys.argv[1], sys.argv[2]); log = logging.getLogger('streamdialer.trial');"
    "[log.warning('no reply', extra={'attempt': f'1:2:{n}'}) for n in range(3)]"
)


def told_by_a_process(level: str, log_format: str, stderr: int) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", TELL, level, log_format], stderr=stderr, check=True, stdout=subprocess.DEVNULL
    )
    return done.stderr or b""


def test_what_is_held_back_is_logged_when_the_process_ends() -> None:
    lines = [
        msgspec.json.decode(line) for line in told_by_a_process("INFO", "auto", subprocess.PIPE).splitlines()
    ]
    assert [(line["attempt"], line.get("repeated")) for line in lines] == [("1:2:0", None), ("1:2:2", 2)]


def test_debug_tells_every_line() -> None:
    lines = told_by_a_process("DEBUG", "text", subprocess.PIPE).decode().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["attempt=1:2:0", "attempt=1:2:1", "attempt=1:2:2"]


def test_a_terminal_is_given_coloured_text() -> None:
    ours, theirs = pty.openpty()
    try:
        told_by_a_process("INFO", "auto", theirs)
        said = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    first, second = said.splitlines()
    assert first.startswith("\033[33m")
    assert first.endswith("WARNING trial: no reply attempt=1:2:0\033[0m")
    assert "repeated=2" in second


@given(st.text(st.characters()))
def test_no_value_reaches_a_terminal_raw(text: str) -> None:
    record = logging.makeLogRecord(
        {"name": "streamdialer.a", "levelname": "INFO", "msg": "m", "reason": text}
    )
    for formatter in (JsonFormatter(), TextFormatter(colour=False)):
        assert formatter.format(record).isprintable()
