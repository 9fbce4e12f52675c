"""Redis takes back nothing of a script that is refused an entry in the middle: what comes before it must be whole.

Each script that enqueues an update is refused the entry, and nobody waits for it. Then the stream is mended and the
same call made again: the ledger is as if nothing had been refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
import msgspec
import pytest

from streamdialer.consumers.services import Services
from streamdialer.ledger.recovery import InFlightRow
from streamdialer.ledger.types import LoadRow
from streamdialer.model import Attempt
from streamdialer.rules.numbers import Number
from tests.ledger.test_data_loss import lose_data
from tests.support.ledger_fixture import LedgerWorld
from tests.support.ledger_invariants import check_ledger
from tests.support.ledger_reader import move_clock
from tests.support.preview_fixture import PreviewWorld

LAST_ID: Final = f"{2**64 - 1}-{2**64 - 1}"
"""A stream with this id takes no entry more."""
UPDATES, CALLS = "dialer:updates", "dialer:calls"
LONG_AFTER_S: Final = 1000
Act = Callable[[], Awaitable[Any]]
Scenario = Callable[[PreviewWorld], Awaitable[Act]]


def numbered(contact: str, problem: str = "", **call: Any) -> LoadRow:
    data = {"id": int(contact), "phone_number": f"+155500{contact}", "n": [f"+155500{contact}"], **call}
    return LoadRow(contact, 5, 0, msgspec.json.encode(data).decode(), problem)


async def deliver(world: LedgerWorld) -> None:
    """The backend takes everything."""
    for contact in map(str, await world.client.hkeys(world.keys.outbox("1"))):
        update = await world.lease_update(contact, "worker")
        await world.services.outbox.acknowledge("1", contact, "worker", update.version, "taken")


def load(world: LedgerWorld, *rows: LoadRow) -> Act:
    return partial(world.services.campaigns.load, "1", rows, world.max_attempts)


async def dialing(world: LedgerWorld) -> Attempt:
    await world.open_campaign(contacts=1, agents=1)
    return await world.place_one()


async def not_placed(world: PreviewWorld) -> Act:
    return partial(world.settle, await dialing(world), "not_placed")


async def never_placed(world: PreviewWorld) -> Act:
    return partial(world.settle, await dialing(world), "never")


async def reply_without_mark(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=1, agents=1)
    return partial(world.settle, await world.reserve(), "placed")


async def sent(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=1, agents=1)
    return partial(world.mark_sent, await world.reserve())


async def sent_to_listed(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=0, agents=1)
    await load(world, numbered("1"))()
    attempt = await world.reserve()
    await world.client.hset(world.keys.dnc, "1555001", "+1 test")
    return partial(world.mark_sent, attempt)


def heard(kind: str, **data: Any) -> Scenario:
    async def scenario(world: PreviewWorld) -> Act:
        attempt = await dialing(world)
        return partial(world.event, kind, attempt, entry=await world.write_entry(), **data)

    scenario.__name__ = "_".join([kind, *data.values()])
    return scenario


def heard_of_lost(kind: str, **data: Any) -> Scenario:
    async def scenario(world: PreviewWorld) -> Act:
        await world.open_campaign(contacts=1, agents=1)
        await lose_data(world)
        lost = Attempt("1:7:1", "1", "7", "lost")
        shown = world.shown("7", 1, is_in_call=True)
        return partial(world.event, kind, lost, entry=await world.write_entry(), lost=shown, **data)

    scenario.__name__ = f"lost_{kind}"
    return scenario


async def lost_ready(world: PreviewWorld) -> Act:
    """An event of a call that was lost, of a contact that is in the line."""
    await world.open_campaign(contacts=1, agents=1)
    await lose_data(world)
    lost = Attempt("1:1:1", "1", "1", "lost")
    return partial(world.event, "call_answered", lost, entry=await world.write_entry())


async def deadline(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=2, agents=2)
    attempt = await world.place_one()
    other = await world.place_one()
    await world.event("call_ringing", other)
    await world.pass_deadlines(attempt.contact)
    await world.client.zadd(world.keys.sweep_schedule, {"1": 1})
    return world.sweep


async def retry_due(world: PreviewWorld) -> Act:
    attempt = await dialing(world)
    await world.event("call_failed", attempt, disposition="busy")
    await move_clock(world.client, world.keys, LONG_AFTER_S)
    return world.sweep


def callback(in_s: int, state: str, *, listed: bool = False) -> Scenario:
    async def scenario(world: PreviewWorld) -> Act:
        await world.open_campaign(contacts=1, agents=1)
        contact, row = "1", None
        if state == "reserved":
            await world.reserve()
        elif state == "final":
            await world.event("call_completed", await world.place_one())
        elif state == "unknown":
            contact, row = "7", numbered("7")
        if listed:
            await world.client.hset(world.keys.dnc, {"1": "1666", "7": "1555007"}[contact], "+1 test")
        seconds, _ = await world.client.time()
        number = "+1666" if listed and contact == "1" else ""
        return partial(
            world.services.callbacks.schedule,
            "1",
            contact,
            (seconds + in_s) * 1000,
            entry=await world.write_entry(),
            agent="",
            phone_number=number,
            compared=number,
            row=row,
        )

    scenario.__name__ = f"callback_{state}_{in_s}_{listed}"
    return scenario


def not_to_be_called(state: str) -> Scenario:
    async def scenario(world: PreviewWorld) -> Act:
        await world.open_campaign(contacts=1, agents=1)
        if state == "reserved":
            await world.reserve()
        elif state == "dialing":
            await world.place_one()
        contact = "7" if state == "unknown" else "1"
        return partial(world.services.suppression.suppress_contact, "1", contact, "test")

    scenario.__name__ = f"dnc_{state}"
    return scenario


async def numbers_not_to_be_called(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=0, agents=1)
    await load(world, numbered("1"), numbered("2"))()
    await world.place_one()
    numbers = [Number("1555001", is_e164=True), Number("1555002", is_e164=True)]
    return partial(world.services.suppression.suppress, numbers, "test")


def listed(name: str, *rows: LoadRow, before: tuple[LoadRow, ...] = ()) -> Scenario:
    async def scenario(world: PreviewWorld) -> Act:
        await world.open_campaign(contacts=0, agents=1)
        await load(world, *before)()
        await world.client.hset(world.keys.totals("1"), "exhausted", "1")
        return load(world, *rows)

    scenario.__name__ = f"load_{name}"
    return scenario


async def claim_of_listed(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=0, agents=3)
    await load(world, numbered("1"), numbered("2"))()
    await world.client.hset(world.keys.dnc, "1555001", "+1 test")
    return partial(world.claim, token="t")


async def claim_of_tried(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=2, agents=3)
    record = await world.record("1")
    await world.client.hset(world.keys.records("1"), "1", msgspec.json.encode({**record, "a": 3}))
    return partial(world.claim, token="t")


async def offer_of_listed(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=2, agents=3)
    record = await world.record("1")
    await world.client.hset(world.keys.records("1"), "1", msgspec.json.encode({**record, "a": 3}))
    return partial(world.says, "requested", "5", entry=await world.write_entry())


async def accepted_listed(world: PreviewWorld) -> Act:
    await world.open_campaign(contacts=1, agents=3)
    await world.says("requested", "5")
    record = await world.record("1")
    await world.client.hset(world.keys.records("1"), "1", msgspec.json.encode({**record, "a": 3}))
    return partial(world.says, "accepted", "5", entry=await world.write_entry())


async def worker_that_lost_its_lease(world: PreviewWorld) -> Act:
    await dialing(world)
    first = await world.lease_update("1", "first")
    raw = await world.backend_doc("1")
    await world.client.hset(world.keys.outbox("1"), "1", msgspec.json.encode({**raw, "le": 0}))
    await world.lease_update("1", "second")
    return partial(world.services.outbox.acknowledge, "1", "1", "first", first.version, "taken")


async def held_in_flight(world: PreviewWorld) -> Act:
    attempt = await dialing(world)
    await world.event("call_completed", attempt)
    await deliver(world)
    await lose_data(world)
    row = InFlightRow(world.row("1", attempts=1), False, None)
    return partial(world.services.memory.hold_in_flight, "1", [row], world.retry)


def reset(contact: str) -> LoadRow:
    return msgspec.structs.replace(numbered(contact), reset=True)


SCENARIOS: Final[list[Scenario]] = [
    not_placed,
    never_placed,
    reply_without_mark,
    sent,
    sent_to_listed,
    heard("call_answered"),
    heard("call_completed"),
    heard("call_failed", disposition="busy"),
    heard("call_abandoned"),
    heard_of_lost("call_answered"),
    heard_of_lost("call_completed"),
    heard_of_lost("call_failed", disposition="no_answer"),
    lost_ready,
    deadline,
    retry_due,
    *(callback(in_s, state) for in_s in (-1, 600) for state in ("ready", "reserved", "final", "unknown")),
    *(callback(600, state, listed=True) for state in ("ready", "reserved", "unknown")),
    *(not_to_be_called(state) for state in ("ready", "reserved", "dialing", "unknown")),
    numbers_not_to_be_called,
    listed("invalid", numbered("1"), numbered("2", "no_phone_number"), numbered("3")),
    listed("suppressed", numbered("1"), numbered("2", dnc=True), numbered("3")),
    listed("reset", numbered("1"), reset("2"), numbered("3")),
    listed("corrected_invalid", numbered("1", "no_phone_number", n=["+1777"]), before=(numbered("1"),)),
    listed("corrected_suppressed", numbered("1", dnc=True, n=["+1777"]), before=(numbered("1"),)),
    claim_of_listed,
    claim_of_tried,
    offer_of_listed,
    accepted_listed,
    worker_that_lost_its_lease,
    held_in_flight,
]


async def is_refused(act: Act) -> bool:
    """Whether the call waits until the stream takes entries; it is given up."""
    with anyio.move_on_after(0.05) as scope:
        await act()
    return scope.cancelled_caught


async def refuse(world: LedgerWorld, stream: str) -> None:
    await world.client.xtrim(stream, maxlen=0)
    await world.client.xadd(stream, {"n": "last"}, id=LAST_ID)


MS: Final = re.compile(r"-?\d{9,}(?:\.\d+)?(?:e\+?\d+)?|\d\.\d+e\+\d+|(?<=[\" ])\d{6,7}(?= )")
MARK: Final = re.compile(r"(?<=\d:)[0-9a-z]{7,9}(?=\W|$)")
MEASURED: Final = ("version", "longest_ms")
"""Fields that count how often something was done, or measure how long it took."""


def settled(text: Any) -> str:
    """Without instants, and without what is made of them."""
    text = str(text)
    if text.startswith("{"):
        text = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    text = MARK.sub("mark", re.sub(r"^([pb])\d+$", r"\1", text))  # of an hour: lib/abandon_window.lua
    text = re.sub(r'"(v|e|oc|hours_fingerprint)":("[^"]*"|\d+),?', "", text)
    text = re.sub(r'"l[se]?":("[^"]*"|[\d.e+]+),?', "", text)
    return MS.sub("ms", re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "instant", text))


async def picture(world: LedgerWorld) -> dict[str, Any]:
    """Everything the ledger keeps, but streams and the server's clock."""
    seen: dict[str, Any] = {}
    client: Any = world.client
    async for key in client.scan_iter("*"):
        kind = await client.type(key)
        if key == world.keys.server:
            fields = await client.hgetall(key)
            seen[key] = {name: fields[name] for name in fields.keys() & {"remembered", "calling_codes"}}
        elif kind == "hash":
            fields = await client.hgetall(key)
            seen[key] = {
                settled(name): settled(value) for name, value in fields.items() if name not in MEASURED
            }
        elif kind == "zset":
            rows = await client.zrange(key, 0, -1, withscores=True)
            seen[key] = {settled(name): settled(score) for name, score in rows}
        elif kind == "string":
            seen[settled(key)] = settled(await client.get(key))
        elif kind == "stream" and key in (CALLS, world.keys.outcomes):
            seen[key] = [settled(json.dumps(fields)) for _, fields in await client.xrange(key)]
    seen.pop("sd:sweep_schedule", None)
    return seen


async def prepare(services: Services, scenario: Scenario) -> tuple[PreviewWorld, Act]:
    world = PreviewWorld(services)
    await world.client.flushall()
    await world.client.hset(world.keys.server, "run", str((await world.client.info("server"))["run_id"]))
    await world.client.hset(world.keys.server, "hold_until", "0")
    act = await scenario(world)
    if scenario is not worker_that_lost_its_lease:
        await deliver(world)
    return world, act


async def check(world: LedgerWorld) -> None:
    await check_ledger(world.client, world.keys, ["1"], with_outcomes=False)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.__name__ for each in SCENARIOS])
async def test_what_was_refused_and_is_done_again_is_done_once(
    services: Services, scenario: Scenario
) -> None:
    world, act = await prepare(services, scenario)
    await act()
    assert await world.client.xlen(UPDATES), "the scenario enqueues an update"
    wanted = await picture(world)

    world, act = await prepare(services, scenario)
    await refuse(world, UPDATES)
    assert await is_refused(act)
    await world.client.delete(UPDATES)
    if scenario is not worker_that_lost_its_lease:
        await check(world)
    await act()
    await check(world)
    seen = await picture(world)
    assert {
        key: (seen.get(key), wanted.get(key)) for key in seen | wanted if seen.get(key) != wanted.get(key)
    } == {}
    sent_to = [call.contact for call in await world.reserved_calls() if await world.mark_sent(call) == "ok"]
    assert len(sent_to) == len(set(sent_to))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.__name__ for each in SCENARIOS])
async def test_after_a_refusal_nobody_is_called_twice(services: Services, scenario: Scenario) -> None:
    """Here the call is not made again."""
    world, act = await prepare(services, scenario)
    names = map(str, await world.client.hkeys(world.keys.records("1")))
    states = {contact: await world.state_of(contact) for contact in names}
    earlier = len(await world.reserved_calls())
    await refuse(world, UPDATES)
    assert await is_refused(act)
    await world.client.delete(UPDATES)
    if scenario is worker_that_lost_its_lease:
        return  # the entry of its update was deleted
    await world.client.hset(world.keys.server, "rebuild_epoch", "")
    await world.claim()
    await world.claim()
    called = [call.contact for call in (await world.reserved_calls())[earlier:]]
    assert len(called) == len(set(called))
    assert not [contact for contact in called if states.get(contact) in ("dialing", "connected", "final")]
    await check(world)


async def test_a_claim_whose_call_has_no_place_reserves_nobody(world: LedgerWorld) -> None:
    await world.open_campaign(contacts=2, agents=2)
    await refuse(world, CALLS)
    assert await is_refused(world.claim)
    assert await world.count("1", "reserved") == 0
    await world.check_invariants()
    await world.client.delete(CALLS)
    assert (await world.claim()).dialed == 2


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("state", ["ready", "deferred", "reserved", "final", "previewing", "dialing"])
async def test_a_state_that_a_record_does_not_confirm_moves_nobody(
    world: LedgerWorld, state: str, is_known: bool
) -> None:
    await world.open_campaign(contacts=2, agents=3)
    attempt = await world.place_one()
    await world.event("call_answered", attempt)
    member = "1" if is_known else "ghost"
    await world.client.zadd(getattr(world.keys, state)("1"), {member: 1})
    await world.sweep()
    assert (await world.claim()).dialed == 1
    assert await world.state_of("1") == "connected"
    await world.check_invariants()
