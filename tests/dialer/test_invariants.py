"""The auditor sees what must not be, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from streamdialer.broker.background_duty import running
from streamdialer.config.settings import Settings
from streamdialer.consumers.invariant_check import InvariantCheck
from streamdialer.consumers.services import Services
from streamdialer.ledger.invariants import check_campaign
from streamdialer.observability import metrics
from streamdialer.simulation.world.build import build_world
from tests.support.dialer import run_dialer
from tests.support.eventually import eventually
from tests.support.ledger_fixture import LedgerWorld


@pytest.fixture
async def world(services: Services) -> LedgerWorld:
    """One contact in nearly every place, and news for the backend."""
    world = LedgerWorld(services)
    await world.open_campaign(contacts=6, agents=6)
    answered, busy = await world.place_one(), await world.place_one()
    await world.event("call_answered", answered)
    await world.event("call_failed", busy, disposition="busy")
    await world.place_one()
    assert (await world.claim(level=2)).dialed == 1
    for place in ("connected", "deferred", "dialing", "reserved"):
        assert await world.count("1", place) == 1
    return world


async def broken(services: Services) -> list[str]:
    look = await check_campaign(services.scripts, services.keys, "1")
    return sorted({one.invariant for one in look.broken})


async def test_a_sound_ledger_has_no_violation_and_is_unchanged(
    world: LedgerWorld, services: Services
) -> None:
    client = services.client
    before = {key: await client.dump(key) for key in await client.keys("sd:c:*")}
    look = await check_campaign(services.scripts, services.keys, "1")
    assert look.broken == []
    assert set(look.checked) == {
        "attempt_state",
        "one_call",
        "one_state",
        "record_state",
        "do_not_call",
        "next_sweep",
        "update_queued",
    }
    assert {key: await client.dump(key) for key in await client.keys("sd:c:*")} == before


async def change_record(services: Services, contact: str, **changes: Any) -> None:
    raw: Any = await services.client.hget(services.keys.records("1"), contact)
    changed = msgspec.json.decode(raw) | changes
    await services.client.hset(services.keys.records("1"), contact, msgspec.json.encode(changed).decode())


BREAKS: dict[str, tuple[Callable[[Services], Any], list[str]]] = {
    "a record is gone": (lambda s: s.client.hdel(s.keys.records("1"), "5"), ["one_state", "record_state"]),
    "in two states": (
        lambda s: s.client.zadd(s.keys.ready("1"), {"1": 1}),
        ["attempt_state", "one_state", "record_state"],
    ),
    "a state without a call": (lambda s: change_record(s, "1", h=[]), ["attempt_state"]),
    "to be called and not to be called": (lambda s: change_record(s, "5", dnc=True), ["do_not_call"]),
    "a call that holds nobody": (lambda s: s.client.delete(s.keys.persons_up("1")), ["one_call"]),
    "no call, and a number held": (lambda s: change_record(s, "5", lk=["15550"]), ["one_call"]),
    "no sweep is due": (lambda s: s.client.zrem(s.keys.sweep_schedule, "1"), ["next_sweep"]),
    "a sweep that comes too late": (
        lambda s: s.client.zadd(s.keys.sweep_schedule, {"1": 9e15}),
        ["next_sweep"],
    ),
    "no entry will update the backend": (
        lambda s: s.client.delete(s.keys.stream("updates")),
        ["update_queued"],
    ),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_each_break_is_seen(world: LedgerWorld, services: Services, how: str) -> None:
    break_it, seen = BREAKS[how]
    await break_it(services)
    assert await broken(services) == seen


async def test_what_is_broken_is_counted_and_logged(
    world: LedgerWorld, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    def value(name: str, invariant: str) -> float:
        return metrics.PROCESS.get_sample_value(name, {"invariant": invariant}) or 0.0

    checked = value("streamdialer_invariants_checked_total", "record_state")
    before = value("streamdialer_invariants_broken_total", "do_not_call")
    await change_record(services, "5", dnc=True)
    async with running(InvariantCheck(services)):
        await eventually(lambda: value("streamdialer_invariants_broken_total", "do_not_call") > before)
    assert value("streamdialer_invariants_checked_total", "record_state") >= checked + 6
    told = [
        vars(record)
        for record in caplog.records
        if record.message.startswith("an invariant of the ledger is broken")
    ]
    assert (told[0]["campaign"], told[0]["contact"], told[0]["reason"]) == ("1", "5", "do_not_call")


async def test_a_running_dialer_breaks_none(redis: Redis, settings: Settings) -> None:
    world = build_world(agents=6, contacts=60, mode="power", speed=100, retry_delay_s=30)
    looks = 0
    async with run_dialer(settings, world, speed=100) as dialer:
        while not dialer.centre.summary().contacts.get("completed", 0) > 10:
            look = await check_campaign(dialer.services.scripts, dialer.services.keys, "1")
            assert look.broken == []
            looks += 1
            await anyio.sleep(0.005)
        await dialer.until_all_are_final()
        assert await broken(dialer.services) == []
    assert looks > 50
