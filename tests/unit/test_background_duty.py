"""Background duties go on after every error, and the log says once that they fail and once that they work again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from streamdialer.broker import background_duty
from streamdialer.broker.background_duty import BackgroundDuty, running
from tests.support.eventually import eventually

AWAY = RedisConnectionError("connection refused")
FAULT = KeyError("campaign")


class Scripted(BackgroundDuty):
    """Raises or succeeds as its script says, turn by turn; then works for ever."""

    name = "scripted"

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.turns = self.opens = self.closes = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        self.opens += 1
        try:
            yield
        finally:
            self.closes += 1

    async def turn(self) -> float:
        self.turns += 1
        error = self.script.pop(0) if self.script else None
        if error:
            raise error
        return 0.0


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_duty, "backoff_s", lambda failures: 0.0)


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ([None, None], []),
        ([AWAY], ["failed", "works again"]),
        ([AWAY, AWAY, OSError("no route"), None, AWAY], ["failed", "works again"] * 2),
        ([AWAY, AWAY, FAULT, FAULT], ["failed", "failed + traceback", "works again"]),
        ([FAULT, AWAY], ["failed + traceback", "failed", "works again"]),
    ],
    ids=["no trouble", "once away", "away twice", "away, then a fault", "a fault, then away"],
)
async def test_the_log_has_one_line_for_each_change(
    script: list[Exception | None], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    duty = Scripted(*script)
    async with running(duty):
        await eventually(lambda: duty.turns > len(script) + 1)
    logged = [
        ("works again" if "works again" in record.message else "failed")
        + (" + traceback" if record.exc_info else "")
        for record in caplog.records
    ]
    assert logged == lines
    assert {vars(record)["duty"] for record in caplog.records} <= {"scripted"}
    assert duty.opens == duty.closes == 1 + sum(error is not None for error in script)


async def test_a_duty_that_cannot_open_backs_off_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[int] = []

    def backoff_s(failures: int) -> float:
        pauses.append(failures)
        return 0.0

    monkeypatch.setattr(background_duty, "backoff_s", backoff_s)

    class Closed(Scripted):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator[None]:
            if len(pauses) < 3:
                raise OSError("address in use")
            yield

    duty = Closed()
    async with running(duty):
        await eventually(lambda: duty.turns)
    assert pauses == [0, 1, 2]


async def test_the_block_ends_when_the_duties_have_closed() -> None:
    class Slow(Scripted):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator[None]:
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.05)
                    self.closes += 1

    duties = [Slow(), Slow()]
    async with running(*duties):
        await eventually(lambda: all(duty.turns for duty in duties))
    assert [duty.closes for duty in duties] == [1, 1]
