"""Moves the dialer's data to another Redis: stop, drain, copy, start.

No call may be up meanwhile, and no process may work with the data. Nothing is deleted until the other server has all of
it: a move that was interrupted is begun again. The new server is marked first. A second move takes the mark over, and
then the first one can write there no more.
"""

from __future__ import annotations

import hashlib
import secrets
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
COPY_ROUNDS: Final = 5
"""The last of them finds nothing changed."""
SCAN_COUNT: Final = 1000
UNNAMED: Final = ("campaign:*", "dialer:*", "sd:*")
"""All that is ours where there is no namespace."""
RESUME: Final = "resume"
"""Field of the hash `server`: the campaigns that the move paused, which are active again afterwards."""
TAKEN_FROM: Final = "taken_from"
"""Field of the hash `server` of the new server: where all of its data came from."""
_TAKE: Final = """
if redis.call('HGET', KEYS[1], 'moving') ~= ARGV[1] then return redis.error_reply('FENCED another move has ended') end
redis.call('HSET', KEYS[1], 'mover', ARGV[2])
"""
_RESTORE: Final = """
if redis.call('HGET', KEYS[1], 'mover') ~= ARGV[1] then return redis.error_reply('FENCED another move has begun') end
return redis.call('RESTORE', KEYS[2], ARGV[2], ARGV[3], 'REPLACE')
"""
_OPEN: Final = """
if redis.call('HGET', KEYS[1], 'mover') ~= ARGV[1] then return redis.error_reply('FENCED another move has begun') end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('HDEL', KEYS[1], 'moving', 'mover')
for i = 2, #KEYS do redis.call('HSET', KEYS[i], 'status', 'active') end
"""
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
    copied, started, mover = 0, list[str](), secrets.token_hex(8)
    if stage == "begin":
        paused: list[str] = []
        try:
            paused = await _pause_campaigns(source, say)
            await _wait_until_at_rest(source, wait_s, say)
            await _close(source, target)
        except CannotBeDone as error:
            is_others = await source.client.hexists(source.keys.server, "moved_to")
            if is_others:
                raise
            await target.client.hdel(target.keys.server, "moving")  # the mark is of no more use
            if not paused:
                raise
            names = f"these campaigns stay paused: {', '.join(paused)}"
            raise CannotBeDone(
                f"{error}; {names}; run it again, or streamdialer campaign start ID"
            ) from error
    if stage == "delete":
        await _refuse_what_came_later(source, target)
    if stage != "delete":
        await _write(target, _TAKE, [target.keys.server], source.address, mover)
        say("copying")
        copied = await _copy_all(source, target, mover)
        started = await _open(source, target, mover)
    async for name in _names(source):
        if name != source.keys.server:
            await source.client.unlink(name)
    kept: Any = await source.client.hkeys(source.keys.server)
    if gone := [name for name in kept if name not in ("moved_to", "layout")]:
        await source.client.hdel(source.keys.server, *gone)
    await source.client.hset(source.keys.server, "layout", str(LAYOUT))
    return MoveResult(copied, started)


async def _first_stage(source: Place, target: Place) -> Stage:
    """Where an earlier move was interrupted; raises CannotBeDone when there is nothing to move, or no place for it."""
    layout, moved_to, moving = await _marks(source)
    *_, target_moving = await _marks(target)
    if moving or layout not in (None, str(LAYOUT)):
        raise CannotBeDone(f"{source.address} does not hold data that this version may move")
    if moved_to and moved_to != target.address:
        raise CannotBeDone(f"the data of this namespace was moved to {moved_to} already")
    if moved_to:
        if target_moving == source.address:
            return "copy"
        if await target.client.hget(target.keys.server, TAKEN_FROM) == source.address:
            return "delete"
        raise CannotBeDone(f"{target.address} does not hold what was copied there: nothing is deleted")
    if target_moving not in (None, source.address):
        raise CannotBeDone(f"{target.address} is receiving the data of {target_moving}")
    if not [name async for name in _names(source)]:
        raise CannotBeDone(f"{source.address} holds nothing of this namespace")
    held = [name async for name in _names(target) if name != target.keys.server]
    if held:
        raise CannotBeDone(f"{target.address} holds data of this namespace already, such as {min(held)}")
    if target_moving is None:
        await target.client.delete(target.keys.server)  # all that a move away from there has left
    await target.client.hset(target.keys.server, "moving", source.address)  # no process may start there
    return "begin"


async def _refuse_what_came_later(source: Place, target: Place) -> None:
    """Raises CannotBeDone for keys that other programs have made after the whole move: nobody has read them."""
    kept: Any = await source.client.hkeys(source.keys.server)
    if not {"moved_to", "layout"}.issuperset(kept):
        return
    if later := [name async for name in _names(source) if name != source.keys.server]:
        raise CannotBeDone(
            f"everything was moved, and programs still write to {source.address}, such as {min(later)}: give them "
            f"{target.address}; nobody reads what they have written, and it was not deleted"
        )


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


async def _pause_campaigns(source: Place, say: Say) -> list[str]:
    """Those that are to be active again afterwards."""
    client, keys = source.client, source.keys
    active, paused = await _with_status(source, "active"), await _with_status(source, "paused")
    stored: Any = await client.hget(keys.server, RESUME)
    # not what was stopped, or has ended, since
    earlier = {*paused, *active}.intersection(msgspec.json.decode(stored or "[]"))
    resume = sorted({*active, *earlier})
    await client.hset(keys.server, RESUME, msgspec.json.encode(resume).decode())
    for campaign in active:
        await set_campaign_status(client, keys, campaign, "pause")
    if active:
        say(f"paused: {', '.join(active)}")
    if again := sorted(earlier.difference(active)):
        say(f"paused by an earlier move, and active again after this one: {', '.join(again)}")
    return resume


async def _with_status(source: Place, status: str) -> list[str]:
    known = await campaigns_known(source.client, source.keys)
    rows = await campaign_rows(source.client, source.keys, known)
    return [campaign for campaign, row in zip(known, rows, strict=True) if row.status == status]


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
    if active := await _with_status(source, "active"):
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
    await target.client.hset(target.keys.server, "moving", source.address)
    if not await source.client.hsetnx(source.keys.server, "moved_to", target.address):
        raise CannotBeDone(
            "another `streamdialer namespace move` of this namespace is running: wait until it ends"
        )
    if reason := await _unrest(source):  # a process has just started
        await source.client.hdel(source.keys.server, "moved_to")
        raise CannotBeDone(f"nothing was moved: {reason}")
    if held := [name async for name in _names(target) if name != target.keys.server]:
        await source.client.hdel(source.keys.server, "moved_to")
        raise CannotBeDone(f"nothing was moved: {target.address} now holds data, such as {min(held)}")


async def _copy_all(source: Place, target: Place, mover: str) -> int:
    """How many keys were copied; what programs without a heartbeat change meanwhile is copied again."""
    digests: dict[str, bytes] = {}
    for _ in range(COPY_ROUNDS):
        changed = [name async for name in _names(source) if await _copy(source, target, name, mover, digests)]
        if not changed:
            return len(digests)
    raise CannotBeDone(
        f"programs go on writing to {source.address}, such as {min(changed)}: "
        "stop those that add events or numbers; nothing was deleted, run it again"
    )


async def _copy(source: Place, target: Place, name: str, mover: str, digests: dict[str, bytes]) -> bool:
    """Copies the key if its digest is not the one in `digests`; True when it did."""
    if name == source.keys.server:
        return False  # opens the data, so it comes last
    reading: Any = source.client
    payload = await reading.dump(name)
    left_ms = int(await source.client.pttl(name))
    if payload is None or left_ms == -2:
        return False  # it has expired
    digest = hashlib.sha256(payload).digest()
    if digests.get(name) == digest:
        return False
    to = target.keys.prefix + name.removeprefix(source.keys.prefix)
    await _write(target, _RESTORE, [target.keys.server, to], mover, max(left_ms, 0), payload)
    digests[name] = digest
    return True


async def _write(target: Place, script: str, names: list[str], *values: object) -> None:
    """Runs a script that writes nothing when this is not the newest move; `mover` says which is."""
    writing: Any = target.client
    try:
        await writing.eval(script, len(names), *names, *values)
    except ResponseError as error:
        raise CannotBeDone(
            f"{target.address} does not take {names[-1]}: {error}; nothing was deleted, run it again"
        ) from error


async def _open(source: Place, target: Place, mover: str) -> list[str]:
    """Lets processes work with the data on the new server; the campaigns that are active there."""
    fields: Any = await source.client.hgetall(source.keys.server)
    resume: list[str] = msgspec.json.decode(fields.pop(RESUME, "[]"))
    del fields["moved_to"]
    if fields.get("run") == await _own_run_id(source):  # else the scripts find that data may have been lost
        fields["run"] = await _own_run_id(target)
    fields |= {"layout": str(LAYOUT), TAKEN_FROM: source.address}
    items = [part for item in fields.items() for part in item]
    names = [target.keys.server, *(target.keys.campaign(campaign) for campaign in resume)]
    await _write(target, _OPEN, names, mover, *items)
    return resume


async def _own_run_id(place: Place) -> str:
    """Of the node that has the data, as the scripts see it."""
    script = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
    return str(await place.client.eval(script, 1, place.keys.server))
