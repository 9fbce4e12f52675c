"""What a service reads of ended attempts: all of it, through a Redis that goes away and readers that are killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
import redis as blocking

from streamdialer.broker.keys import Keys
from streamdialer.broker.outcome_group import CONSUMER, OutcomeEntries
from streamdialer.config.settings import Settings
from streamdialer.operations import outcome_reader
from streamdialer.operations.outcome_reader import read_outcomes
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.eventually import eventually

STREAM = Keys().outcomes
GROUP = "a-service"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_reader, "PAUSE_S", 0.02)
    monkeypatch.setattr(outcome_reader, "BLOCK_MS", 50)
    monkeypatch.setattr(outcome_reader, "ABANDONED_AFTER_MS", 100)


@asynccontextmanager
async def reading(url: str, deliver: Callable[[OutcomeEntries], None]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(read_outcomes, Settings(redis_url=url), GROUP, deliver))
        yield
        tasks.cancel_scope.cancel()


class Service:
    """Stores what it is given, unless its disk is full."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.refusals = 0
        self.is_full = False

    def store(self, entries: OutcomeEntries) -> None:
        if self.is_full:
            self.refusals += 1
            raise OSError("no space left")
        self.stored += [fields["n"] for _, fields in entries]


def add(db: blocking.Redis, number: int) -> str:
    return str(db.xadd(STREAM, {"n": str(number)}))


@pytest.mark.leaves(STREAM)
async def test_what_cannot_be_stored_now_is_stored_later(db: blocking.Redis, server: EmbeddedServer) -> None:
    service = Service()
    service.is_full = True
    add(db, 1)
    async with reading(server.url, service.store):
        await eventually(lambda: service.refusals > 1)
        add(db, 2)
        service.is_full = False
        await eventually(lambda: set(service.stored) == {"1", "2"})  # the kill may cost an acknowledgement
        await eventually(lambda: db.xpending(STREAM, GROUP)["pending"] == 0)


@pytest.mark.leaves(STREAM)
async def test_what_another_reader_took_and_never_finished_is_stored_too(
    db: blocking.Redis, server: EmbeddedServer
) -> None:
    service = Service()
    async with reading(server.url, service.store):
        add(db, 1)
        await eventually(lambda: service.stored == ["1"])
        held = [add(db, number) for number in (2, 3)]
        db.xgroup_setid(STREAM, GROUP, "0")
        db.xreadgroup(GROUP, CONSUMER, {STREAM: ">"})
        db.xdel(STREAM, held[0])  # has left the stream since
        await eventually(lambda: "3" in service.stored)
        await eventually(lambda: db.xpending(STREAM, GROUP)["pending"] == 0)


async def test_a_server_that_goes_away_and_one_that_comes_back_empty_are_waited_for() -> None:
    service = Service()
    with EmbeddedServer(tcp=True, appendonly=True) as server:
        async with reading(server.url, service.store):
            with blocking.Redis.from_url(server.url, decode_responses=True) as db:
                add(db, 1)
                await eventually(lambda: service.stored == ["1"])
            server.kill()
            server.restart()
            with blocking.Redis.from_url(server.url, decode_responses=True) as db:
                add(db, 2)
                await eventually(
                    lambda: set(service.stored) == {"1", "2"}
                )  # the kill may cost an acknowledgement
                db.flushall()
                add(db, 3)
                await eventually(lambda: set(service.stored) == {"1", "2", "3"})
