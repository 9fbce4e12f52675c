"""An API that honours the attempt's id is asked again, as long as nothing is known of the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest

from streamdialer.broker.entries import Entry
from streamdialer.consumers import calls
from streamdialer.consumers.calls import CallsStage
from streamdialer.gateways.originate_reply import Reply
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld


class Api:
    """Its first reply is lost after `meanwhile`; the next says that the call is placed."""

    service = "dialer_api"

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self.requests = 0
        self._meanwhile = meanwhile

    async def originate(self, request: Any) -> Reply:
        self.requests += 1
        if self.requests > 1:
            return Reply(verdict="placed")
        await self._meanwhile()
        return Reply(verdict="unknown")


async def place_one(world: LedgerWorld, api: Api) -> None:
    """Handles the entry of contact 1."""
    campaigns, services = world.services.campaigns, world.services
    campaigns._limits = msgspec.structs.replace(campaigns._limits, is_idempotent=True)
    settings = msgspec.structs.replace(services.settings, dialer_api_idempotent=True)
    services = msgspec.structs.replace(services, originator=api, settings=settings)
    await world.claim("1", 1)
    entries: Any = await world.client.xrange("dialer:calls")
    entry, fields = entries[-1]
    await CallsStage(services).handle(Entry(entry, fields))


async def another_rings(world: LedgerWorld) -> None:
    """Then silence of a call proves something."""
    await world.event("call_ringing", await world.place_one())


async def test_a_request_is_not_repeated_for_an_attempt_that_has_ended(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)

    async def the_attempt_ends() -> None:
        await another_rings(world)
        await world.pass_deadlines("1")
        await world.sweep()
        assert (await world.record("1"))["h"][0]["s"] == "ended"

    api = Api(the_attempt_ends)
    await place_one(world, api)
    assert api.requests == 1


async def test_a_request_is_not_repeated_for_a_call_that_has_news(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)

    async def it_rings() -> None:
        (attempt,) = await world.reserved_calls()
        await world.event("call_ringing", attempt)

    api = Api(it_rings)
    await place_one(world, api)
    assert api.requests == 1
    assert await world.state_of("1") == "dialing"


async def test_the_deadline_counts_from_the_last_request(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)

    async def it_takes_long() -> None:
        await world.send_earlier("1", 40)

    api = Api(it_takes_long)
    await place_one(world, api)
    assert api.requests == 2
    (attempt,) = (await world.record("1"))["h"]
    deadline: Any = await world.client.zscore(world.keys.dialing("1"), "1")
    assert deadline == attempt["sa"] + attempt["dd"] > attempt["sm"] + attempt["dd"] + 39_000
    await another_rings(world)
    await world.client.zadd(world.keys.dialing("1"), {"1": 1})
    await world.sweep()
    assert (await world.record("1"))["h"][0]["s"] == "sent", "its telephone may ring"


async def test_a_reply_waits_for_redis_however_long_it_is_away(
    world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "SETTLE_WITHIN_S", 0.05)
    await world.open_campaign(contacts=1, agents=1)

    class Refusing:
        service = "dialer_api"

        async def originate(self, request: Any) -> Reply:
            await world.client.client_pause(500)
            return Reply(verdict="not_placed")

    services = msgspec.structs.replace(world.services, originator=Refusing())
    await world.claim("1", 1)
    entries: Any = await world.client.xrange("dialer:calls")
    entry, fields = entries[-1]
    with anyio.fail_after(10):
        await CallsStage(services).handle(Entry(entry, fields))
    assert await world.state_of("1") == "ready"
    assert (await world.record("1"))["a"] == 0


async def test_a_process_that_stops_still_gives_the_reply(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=1, agents=1)
    services, has_reply = world.services, anyio.Event()

    class Refusing:
        service = "dialer_api"

        async def originate(self, request: Any) -> Reply:
            await world.client.client_pause(300)
            has_reply.set()
            return Reply(verdict="not_placed")

    stage = CallsStage(msgspec.structs.replace(services, originator=Refusing()))
    await world.claim("1", 1)
    entries: Any = await world.client.xrange("dialer:calls")
    entry, fields = entries[-1]
    async with anyio.create_task_group() as group:
        group.start_soon(stage.handle, Entry(entry, fields))
        await has_reply.wait()
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()

    async def is_ready() -> bool:
        return await world.state_of("1") == "ready"

    await eventually(is_ready)
