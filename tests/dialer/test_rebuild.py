"""After a data loss one process reads the backend's contacts in a call, each page of their list once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from aiohttp import web

from streamdialer.config.settings import Settings
from streamdialer.simulation.servers.http import json_reply
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import open_centre
from tests.support.ticks_stage import StageWithBackend

CONTACTS, IN_CALL, PAGE = 12, 10, 4
OFFSETS = ["0", "3", "6"]
"""Each page begins with the last row of the page before."""
Then = Callable[[str], Awaitable[object]]


class Loss(StageWithBackend):
    """Ten of twelve contacts are shown in a call when the wait after a data loss is over; pages have four rows."""

    def watch(self, then: Then | None = None) -> list[str]:
        """The offsets that are asked for of the list of contacts in a call; `then` runs before each answer."""
        offsets = list[str]()

        async def note(request: web.Request) -> web.Response | None:
            if request.query.get("status") == "dialing,answered":
                offsets.append(request.query["offset"])
                if then:
                    await then(request.query["offset"])
            return None

        self.centre.backend.set_responder(note)
        return offsets

    async def orphaned(self) -> int:
        return await self.world.count("1", "orphaned")


@pytest.fixture
async def loss(settings: Settings, redis: object) -> AsyncIterator[Loss]:
    world = build_world(agents=0, contacts=CONTACTS)
    for contact in range(1, IN_CALL + 1):
        world.contacts[contact].status, world.contacts[contact].attempts = "dialing", 1
        world.contacts[contact].last_attempt = "2020-01-01T00:00:00Z"
    async with open_centre(settings, world, page_size=PAGE, events="optional") as (centre, services):
        await services.client.hset("campaign:1", "status", "active")
        await services.client.hset("sd:server", "run", "another")
        await services.campaigns.due_campaigns(1)
        await services.client.hset("sd:server", "hold_until", "0")
        yield Loss(centre, services)


async def test_each_page_is_read_once(loss: Loss) -> None:
    offsets = loss.watch()
    assert (await loss.dial()).ready == CONTACTS - IN_CALL
    assert (offsets, await loss.orphaned()) == (OFFSETS, IN_CALL)
    await loss.world.check_invariants()


async def test_rows_that_cannot_be_read_hold_nobody_up(loss: Loss) -> None:
    async def with_odd_rows(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("status") != "dialing,answered":
            return None
        reply = await loss.centre.backend.handle_normally(request)
        assert isinstance(reply, web.Response)
        assert isinstance(reply.body, bytes)
        page = msgspec.json.decode(reply.body)
        page["results"][1:1] = [{"id": {}, "status": "dialing"}, "dialing", None]
        return json_reply(page)

    loss.centre.backend.set_responder(with_odd_rows)
    result = await loss.dial()
    assert (result.ready, await loss.orphaned()) == (CONTACTS - IN_CALL, IN_CALL)
    assert (await loss.dial()).reason != "not_rebuilt"


async def test_ticks_that_come_meanwhile_do_not_read_them_too(loss: Loss) -> None:
    """Neither those of the same replica nor those of another one."""
    others = list[str | None]()

    async def more_ticks(offset: str) -> None:
        if offset == OFFSETS[1]:
            others.append((await loss.dial()).reason)
            others.append((await StageWithBackend(loss.centre, loss.world.services).dial()).reason)

    offsets = loss.watch(more_ticks)
    assert (await loss.dial()).ready == CONTACTS - IN_CALL
    assert (offsets, others) == (OFFSETS, ["not_rebuilt"] * 2)


async def test_calls_whose_deadline_is_past_end_when_the_list_is_read(loss: Loss) -> None:
    """Else their updates would take them from the list while it is read."""
    ended = list[int]()
    offsets = loss.watch(lambda _: sweep())

    async def sweep() -> None:
        ended.append((await loss.world.sweep()).no_event)

    await loss.dial()
    assert (offsets, ended) == (OFFSETS, [0, 0, 0])
    await sweep()
    assert ended[-1] == IN_CALL


async def test_no_row_moves_past_the_reader_when_others_leave_the_list(loss: Loss) -> None:
    async def leave(offset: str) -> None:
        if offset == OFFSETS[1]:
            loss.centre.world.contacts[1].status = loss.centre.world.contacts[2].status = "completed"

    offsets = loss.watch(leave)
    await loss.dial()
    assert offsets[:3] == OFFSETS[:3]
    assert "0" in offsets[3:], "it is read again"
    assert await loss.orphaned() == IN_CALL, "also the one that moved from the second page to the first"


async def test_a_process_that_dies_or_cannot_read_holds_the_others_up_for_a_moment_only(loss: Loss) -> None:
    memory, services = loss.world.services.memory, loss.world.services
    assert await memory.drop_reloadable("1", "dead")
    offsets = loss.watch()
    assert (await loss.dial()).reason == "not_rebuilt"
    assert await memory.hold_in_flight("1", [], loss.world.retry, rebuilder="dead") == 0
    assert await memory.hold_in_flight("1", [], loss.world.retry, rebuilder="other") is None
    assert offsets == []
    waits_until = float(await services.client.hget("sd:c:1:totals", "rebuilding_until") or 0)
    ledger_ms = (await services.queues.begin_agent_poll("sales")).ledger_ms
    assert 10_000 < waits_until - ledger_ms <= 11_000, "a request, and a second"
    await services.client.hset("sd:c:1:totals", "rebuilding_until", "0")
    loss.centre.backend.set_responder(
        lambda request: json_reply({}, 503) if "dialing" in request.query.get("status", "") else None
    )
    assert (await loss.dial()).reason == "backend_unreachable"
    offsets = loss.watch()
    assert (await loss.dial()).ready == CONTACTS - IN_CALL
    assert offsets == OFFSETS
