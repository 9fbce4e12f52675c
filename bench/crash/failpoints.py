"""The few doors all effects go through, each with a failpoint before and after it.

Scripts leave by `Scripts.run` and, many at once, by its pipelines; other Redis commands by the client's
`execute_command`; HTTP requests, those of a log-in included, by the transport. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any, Final

import httpx
from httpx_aiohttp import AiohttpTransport
from redis.asyncio.client import Pipeline, PubSub, Redis

from bench.crash.crash_points import Effect
from bench.crash.failpoint_probe import DUTY, Probe
from streamdialer.broker import Entry, StreamConsumer
from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.scripts import Script, Scripts

Call = Callable[..., Awaitable[Any]]
GATEWAYS: Final = "streamdialer.gateways."
LOG_IN_PATH: Final = "/api/token/"
LOG_IN: Final = "SimpleJWT.async_auth_flow"
"""Sends requests of its own, and is not on the stack when they leave."""


def install_failpoints(probe: Probe) -> None:
    """Wraps the doors and the duties of this process."""
    _guard(probe, Scripts, "run", _script)
    _guard(probe, Pipeline, "execute", _pipeline)
    _guard(probe, Redis, "execute_command", _command)
    _guard(probe, PubSub, "execute_command", _command)
    _guard(probe, AiohttpTransport, "handle_async_request", _request)
    _note_open_calls(probe)
    _name(Scripts, "_serve", lambda _: "scripts")
    _name(StreamConsumer, "_work_on", _entry_duty)
    for method, duty in (
        ("_read_until_stopped", "reader"),
        ("_extend_held_leases", "renewal"),
        ("_deregister", "leaving"),
    ):
        _name(StreamConsumer, method, functools.partial(_stream_duty, duty))
    _name(BackgroundDuty, "run", lambda duty: duty.name)


def _replace(owner: type, name: str, wrap: Callable[[Call], Call]) -> None:
    """Raises AttributeError for a door that is not there: the code has changed, this file must follow."""
    setattr(owner, name, wrap(getattr(owner, name)))


def _guard(probe: Probe, owner: type, name: str, describe: Callable[..., Effect]) -> None:
    def wrap(door: Call) -> Call:
        @functools.wraps(door)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            effect = describe(*args)
            probe.passes(effect, "before")
            try:
                return await door(*args, **kwargs)
            finally:
                probe.passes(effect, "after")

        return guarded

    _replace(owner, name, wrap)


def _name(owner: type, name: str, duty: Callable[..., str]) -> None:
    def wrap(work: Call) -> Call:
        @functools.wraps(work)
        async def named(*args: Any, **kwargs: Any) -> Any:
            token = DUTY.set(duty(*args))
            try:
                return await work(*args, **kwargs)
            finally:
                DUTY.reset(token)

        return named

    _replace(owner, name, wrap)


def _note_open_calls(probe: Probe) -> None:
    def at_begin(run: Call) -> Call:
        @functools.wraps(run)
        async def noted(self: Scripts, script: Script, keys: Any, args: Any = ()) -> Any:
            if script.name != "mark_sent":
                return await run(self, script, keys, args)
            attempt = f"{args[0]}:{args[1]}:{args[2]}"
            probe.open_calls.add(attempt)
            began = await run(self, script, keys, args)
            if began not in ("ok", "again"):
                probe.open_calls.discard(attempt)
            return began

        return noted

    def at_settle(run: Call) -> Call:
        @functools.wraps(run)
        async def noted(self: Scripts, script: Script, keys: Any, args: Any = ()) -> Any:
            answer = await run(self, script, keys, args)
            if script.name == "settle_originate":
                probe.open_calls.discard(f"{args[0]}:{args[1]}:{args[2]}")
            return answer

        return noted

    _replace(Scripts, "run", at_begin)
    _replace(Scripts, "run", at_settle)


# What is there to see at each door.


def _script(_scripts: Scripts, script: Script, *_: object) -> Effect:
    return Effect(f"{script.name}.lua", f"script:{script.sha}")


def _pipeline(*_: object) -> Effect:
    return Effect(f"pipeline ({_asking_function()})")


def _command(_client: object, command: str, *_: object) -> Effect:
    return Effect(f"{command} ({_asking_function()})")


def _request(_transport: object, request: httpx.Request) -> Effect:
    steps = [step for step in request.url.path.split("/") if step not in ("", "api")]
    what = "/".join("{id}" if re.fullmatch(r"\d+", step) else step for step in steps)
    if request.url.path.startswith(LOG_IN_PATH):
        return Effect(f"{request.method} {what}", LOG_IN, "log-in")
    methods = [
        frame.f_code.co_qualname for frame in _stack() if frame.f_globals["__name__"].startswith(GATEWAYS)
    ]
    public = next((name for name in reversed(methods)), "")  # the outermost: what the handler asked for
    return Effect(f"{request.method} {what} ({public.rpartition('.')[2]})", ",".join(methods))


def _stack() -> Iterator[FrameType]:
    """The running frames, innermost first; those of awaiting coroutines are among them."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _asking_function() -> str:
    """The function of the product that the command is sent for."""
    for frame in _stack():
        if frame.f_globals["__name__"].startswith("streamdialer."):
            return frame.f_code.co_name.strip("_")
    return "?"


# What the duties are called.


def _stream_duty(duty: str, consumer: StreamConsumer, *_: object) -> str:
    return f"{consumer.stream.rpartition(':')[2]} {duty}"


def _entry_duty(consumer: StreamConsumer, entry: Entry) -> str:
    stage = consumer.stream.rpartition(":")[2]
    kind = entry.fields.get("kind", "") if stage == "ticks" else ""
    return f"{stage} {kind}".strip()
