"""A read that many wait for is made once, and a failed one is not repeated for each of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from streamdialer.config.settings import Settings
from streamdialer.consumers.dialing.agent_lists import AgentLists
from streamdialer.consumers.handlers.lost_calls import LostCalls
from streamdialer.consumers.services import Services
from streamdialer.consumers.shared_reads import SharedReads
from streamdialer.consumers.update_order import UpdateOrder
from streamdialer.errors import Unreachable
from streamdialer.ledger.records import Update
from streamdialer.model import Contact

MANY = 64


class Server:
    """It answers when the gate is open, or fails then."""

    def __init__(self, *, fails: bool = False) -> None:
        self.asked: list[str] = []
        self.fails = fails
        self.gate = anyio.Event()

    async def ask(self, name: str) -> None:
        self.asked.append(name)
        await self.gate.wait()
        if self.fails:
            raise Unreachable("time-out")


async def test_many_who_wait_have_one_answer_which_serves_for_a_while() -> None:
    server, reads = Server(), SharedReads[int | None](60)
    answers: list[int | None] = []

    async def read() -> int | None:
        await server.ask("1")
        return None

    async def get() -> None:
        answers.append(await reads.get("1", read))

    async with anyio.create_task_group() as tasks:
        for _ in range(MANY):
            tasks.start_soon(get)
        await anyio.wait_all_tasks_blocked()
        server.gate.set()
    await get()
    assert (server.asked, answers) == (["1"], [None] * (MANY + 1))


async def test_an_error_is_that_of_all_who_waited_and_not_of_those_who_ask_later() -> None:
    server, reads, failed = Server(fails=True), SharedReads[None](60), 0

    async def get() -> None:
        nonlocal failed
        try:
            await reads.get("1", lambda: server.ask("1"))
        except Unreachable:
            failed += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(MANY):
            tasks.start_soon(get)
        await anyio.wait_all_tasks_blocked()
        server.gate.set()
    assert (server.asked, failed) == (["1"], MANY)
    await anyio.sleep(0.001)
    await get()
    assert server.asked == ["1", "1"]


async def test_without_an_age_only_errors_are_shared() -> None:
    server, reads = Server(), SharedReads[None]()
    server.gate.set()
    for _ in range(3):
        await reads.get("1", lambda: server.ask("1"))
    assert len(server.asked) == 3


class _Backend(Server):
    shows_contacts = may_show_contacts = False

    async def contact(self, *_: object) -> None:
        return None

    async def in_flight(self, campaign: str, *_: object) -> Any:
        await self.ask(campaign)
        yield SimpleNamespace(contacts=[Contact(id=1)], next=None)

    async def due_for_retry(self, campaign: str, *_: object) -> Any:
        await self.ask(campaign)
        yield SimpleNamespace(contacts=[Contact(id=1)], next=None)

    async def agents(self, queue: str) -> Any:
        await self.ask(queue)


class _Queues:
    async def begin_agent_poll(self, queue: str) -> Any:
        return SimpleNamespace(ledger_ms=10**9, polled=0)


class _Client:
    async def time(self) -> tuple[int, int]:
        return 1_700_000_000, 0


@pytest.mark.parametrize("reader", ["lost calls", "updates", "agents"])
async def test_a_backend_that_hangs_is_asked_once_for_all_who_wait_and_other_names_do_not_wait(
    reader: str,
) -> None:
    backend = _Backend(fails=True)
    made: Any = SimpleNamespace(
        backend=backend, settings=Settings(), queues=_Queues(), client=_Client(), shared_settings=None
    )
    services = cast(Services, made)
    lost_calls, order = LostCalls(services), UpdateOrder(services)
    agents = AgentLists(services, cast(Any, None))
    update = Update(status="pending", version=1, attempts=1, shown_status="no_answer")
    failed = 0

    async def read(name: str) -> None:
        nonlocal failed
        try:
            if reader == "lost calls":
                await lost_calls._contact(name, "1")
            elif reader == "updates":
                await order.verdict(name, "1", update)
            else:
                await agents.read(name)
        except Unreachable:
            failed += 1

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b"):
            for _ in range(MANY):
                tasks.start_soon(read, name)
        await anyio.wait_all_tasks_blocked()
        assert backend.asked == ["a", "b"]
        backend.gate.set()
    assert (backend.asked, failed) == (["a", "b"], 2 * MANY)
