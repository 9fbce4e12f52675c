"""Moves the dialer's data to another Redis: stop, drain, copy, start.

No call may be up meanwhile, and no process may work with the data. Nothing is deleted until the other server has all of
it: a move that was interrupted is begun again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal

import anyio
import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streamdialer.broker.connection import server_ms
from streamdialer.broker.heartbeat import replicas
from streamdialer.broker.keys import Keys
from streamdialer.broker.layout import FIELDS, LAYOUT
from streamdialer.errors import CannotBeDone
from streamdialer.operations.campaigns import campaign_rows, campaigns_known, set_campaign_status

POLL_S: Final = 0.5
SCAN_COUNT: Final = 1000
UNNAMED: Final = ("campaign:*", "dialer:*", "sd:*")
"""All that is ours where there is no namespace."""
RESUME: Final = "resume"
"""Field of the hash `server`: the campaigns that the move paused, which are active again afterwards."""
Say = Callable[[str], None]
Stage = Literal["begin", "copy", "delete"]


class Place(msgspec.Struct, frozen=True):
    """A server, and the names of the namespace on it."""

    client: Redis
    keys: Keys
    address: str
    """For people, without a password."""


class MoveResult(msgspec.Struct, frozen=True):
    keys: int
    started: list[str]
    """The campaigns that are active on the new server."""


async def move(source: Place, target: Place, *, wait_s: float, say: Say) -> MoveResult:
    """Pauses the campaigns, waits for their calls and for the end of all processes, then moves every key.

    `say` gets a line whenever it waits for something else. Raises CannotBeDone when that takes longer than `wait_s`, or
    the new server holds other data; what was paused stays paused, and nothing was moved.
    """
    if await _run_id(source.client) == await _run_id(target.client):
        raise CannotBeDone(f"{source.address} and {target.address} are the same server")
    stage = await _first_stage(source, target)
    copied, started = 0, list[str]()
    if stage == "begin":
        await _pause_campaigns(source, say)
        await _wait_until_at_rest(source, wait_s, say)
        await _close(source, target)
    if stage != "delete":
        say("copying")
        async for name in _names(source):
            copied += await _copy(source, target, name)
        started = await _open(source, target)
    async for name in _names(source):
        if name != source.keys.server:
            await source.client.unlink(name)
    await source.client.delete(source.keys.server)
    await source.client.hset(source.keys.server, items=["moved_to", target.address, "layout", str(LAYOUT)])
    return MoveResult(copied, started)


async def _first_stage(source: Place, target: Place) -> Stage:
    """Where an earlier move was interrupted; raises CannotBeDone when there is nothing to move, or no place for it."""
    layout, moved_to, moving = await _marks(source)
    *_, target_moving = await _marks(target)
    if moving or layout not in (None, str(LAYOUT)):
        raise CannotBeDone(f"{source.address} does not hold data that this version may move")
    if moved_to:
        if moved_to == target.address and target_moving in (None, source.address):
            return "copy" if target_moving else "delete"
        raise CannotBeDone(f"the data of this namespace was moved to {moved_to} already")
    if target_moving:
        raise CannotBeDone(f"{target.address} is receiving the data of {target_moving}")
    if not [name async for name in _names(source)]:
        raise CannotBeDone(f"{source.address} holds nothing of this namespace")
    held = [name async for name in _names(target) if name != target.keys.server]
    if held:
        raise CannotBeDone(f"{target.address} holds data of this namespace already, such as {min(held)}")
    await target.client.delete(target.keys.server)  # all that a move away from there has left
    return "begin"


async def _marks(place: Place) -> tuple[str | None, str | None, str | None]:
    marks: Any = await place.client.hmget(place.keys.server, list(FIELDS))
    return tuple(marks)


async def _run_id(client: Redis) -> str:
    """Of the server; on a Cluster, of one of its nodes."""
    info: Any = await client.info("server")
    first: Any = info if "run_id" in info else next(iter(info.values()))
    return str(first["run_id"])


async def _names(place: Place) -> AsyncIterator[str]:
    for pattern in (f"{place.keys.prefix}*",) if place.keys.prefix else UNNAMED:
        async for name in place.client.scan_iter(pattern, count=SCAN_COUNT):
            yield str(name)


async def _pause_campaigns(source: Place, say: Say) -> None:
    client, keys = source.client, source.keys
    active = await _active(source)
    stored: Any = await client.hget(keys.server, RESUME)
    resume = sorted({*active, *msgspec.json.decode(stored or "[]")})
    await client.hset(keys.server, RESUME, msgspec.json.encode(resume).decode())
    for campaign in active:
        await set_campaign_status(client, keys, campaign, "pause")
    if active:
        say(f"paused: {', '.join(active)}")


async def _active(source: Place) -> list[str]:
    known = await campaigns_known(source.client, source.keys)
    rows = await campaign_rows(source.client, source.keys, known)
    return [campaign for campaign, row in zip(known, rows, strict=True) if row.status == "active"]


async def _wait_until_at_rest(source: Place, wait_s: float, say: Say) -> None:
    deadline, said = anyio.current_time() + wait_s, ""
    while reason := await _unrest(source):
        if anyio.current_time() >= deadline:
            raise CannotBeDone(f"nothing was moved: {reason}")
        if reason != said:
            say(reason)
            said = reason
        await anyio.sleep(POLL_S)


async def _unrest(source: Place) -> str:
    """Why the data cannot be moved yet; '' when it can be."""
    client, keys = source.client, source.keys
    if active := await _active(source):
        return f"active campaigns: {', '.join(active)}; pause them"
    rows = await campaign_rows(client, keys, await campaigns_known(client, keys))
    calls = sum(row.reserved + row.live_calls + row.orphaned + row.previewing for row in rows)
    if calls:
        return f"waiting for {calls} calls and previews to end; leave the processes running"
    alive = [
        process for process in await replicas(client, keys, await server_ms(client)) if not process.is_silent
    ]
    if alive:
        names = ", ".join(f"{process.name} ({process.state.role})" for process in alive)
        return f"no call is up; stop these processes now: {names}"
    return ""


async def _close(source: Place, target: Place) -> None:
    """From now on, no process works with the data on either server."""
    await source.client.hset(source.keys.server, "moved_to", target.address)
    if reason := await _unrest(source):  # a process has just started
        await source.client.hdel(source.keys.server, "moved_to")
        raise CannotBeDone(f"nothing was moved: {reason}")
    await target.client.hset(target.keys.server, "moving", source.address)


async def _copy(source: Place, target: Place, name: str) -> int:
    """How many keys were copied: it may have expired."""
    if name == source.keys.server:
        return 0  # opens the data, so it comes last
    reading: Any = source.client
    payload = await reading.dump(name)
    left_ms = int(await source.client.pttl(name))
    if payload is None or left_ms == -2:
        return 0
    to = target.keys.prefix + name.removeprefix(source.keys.prefix)
    try:
        await target.client.restore(to, max(left_ms, 0), payload, replace=True)
    except ResponseError as error:
        raise CannotBeDone(
            f"{target.address} does not take {to}: {error}; {source.address} still holds all"
        ) from error
    return 1


async def _open(source: Place, target: Place) -> list[str]:
    """Lets processes work with the data on the new server; the campaigns that are active there."""
    fields: Any = await source.client.hgetall(source.keys.server)
    resume: list[str] = msgspec.json.decode(fields.pop(RESUME, "[]"))
    del fields["moved_to"]
    if fields.get("run") == await _own_run_id(source):  # else the scripts find that data may have been lost
        fields["run"] = await _own_run_id(target)
    for campaign in resume:
        await target.client.hset(target.keys.campaign(campaign), "status", "active")
    await target.client.hset(target.keys.server, mapping={**fields, "layout": str(LAYOUT)})
    await target.client.hdel(target.keys.server, "moving")
    return resume


async def _own_run_id(place: Place) -> str:
    """Of the node that has the data, as the scripts see it."""
    script = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
    return str(await place.client.eval(script, 1, place.keys.server))
