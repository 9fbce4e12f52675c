"""Adds a failpoint before and after each of the few functions that all effects go through.

Scripts go through `Scripts.run` and, many at once, through its pipelines; other Redis commands through the client's
`execute_command`; HTTP requests, also those of a log-in, through `Service._transmit`. The product has no code for it.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any, Final

from redis.asyncio.client import Pipeline, PubSub, Redis
from yarl import URL

from bench.crash.crash_points import Effect
from bench.crash.failpoint_probe import DUTY, Probe
from streamdialer.broker.background_duty import BackgroundDuty
from streamdialer.broker.consumer import StreamConsumer
from streamdialer.broker.entries import Entry
from streamdialer.broker.scripts import Script, Scripts
from streamdialer.gateways.client import Service

Call = Callable[..., Awaitable[Any]]
GATEWAYS: Final = "streamdialer.gateways."
LOG_IN_PATH: Final = "/api/token/"


def install_failpoints(probe: Probe) -> None:
    """Wraps the effects and the duties of this process."""
    _add_failpoints(probe, Scripts, "run", _script)
    _add_failpoints(probe, Pipeline, "execute", _pipeline)
    _add_failpoints(probe, Redis, "execute_command", _command)
    _add_failpoints(probe, PubSub, "execute_command", _command)
    _add_failpoints(probe, Service, "_transmit", _request)
    _track_open_calls(probe)
    _set_duty(Scripts, "_serve", lambda _: "scripts")
    _set_duty(StreamConsumer, "_work_on", _entry_duty)
    for method, duty in (
        ("_read_until_stopped", "reader"),
        ("_acknowledge_done", "acknowledging"),
        ("_extend_held_leases", "renewal"),
        ("_deregister", "leaving"),
    ):
        _set_duty(StreamConsumer, method, functools.partial(_stream_duty, duty))
    _set_duty(BackgroundDuty, "run", lambda duty: duty.name)


def _replace(owner: type, name: str, wrap: Callable[[Call], Call]) -> None:
    """Raises AttributeError when the code has changed and this file has not."""
    setattr(owner, name, wrap(getattr(owner, name)))


def _add_failpoints(probe: Probe, owner: type, name: str, describe: Callable[..., Effect]) -> None:
    def wrap(function: Call) -> Call:
        @functools.wraps(function)
        async def with_failpoints(*args: Any, **kwargs: Any) -> Any:
            effect = describe(*args)
            probe.pass_point(effect, "before")
            try:
                return await function(*args, **kwargs)
            finally:
                probe.pass_point(effect, "after")

        return with_failpoints

    _replace(owner, name, wrap)


def _set_duty(owner: type, name: str, duty: Callable[..., str]) -> None:
    def wrap(work: Call) -> Call:
        @functools.wraps(work)
        async def with_duty(*args: Any, **kwargs: Any) -> Any:
            token = DUTY.set(duty(*args))
            try:
                return await work(*args, **kwargs)
            finally:
                DUTY.reset(token)

        return with_duty

    _replace(owner, name, wrap)


def _track_open_calls(probe: Probe) -> None:
    def wrap(run: Call) -> Call:
        @functools.wraps(run)
        async def tracked(self: Scripts, script: Script, keys: Any, args: Any = ()) -> Any:
            if script.name not in ("mark_sent", "settle_originate"):
                return await run(self, script, keys, args)
            attempt = f"{args[0]}:{args[1]}:{args[2]}"
            if script.name == "mark_sent":
                probe.open_calls.add(attempt)
            answer = await run(self, script, keys, args)
            if script.name == "settle_originate" or answer not in ("ok", "again"):
                probe.open_calls.discard(attempt)
            return answer

        return tracked

    _replace(Scripts, "run", wrap)


# How each effect is named.


def _script(_scripts: Scripts, script: Script, *_: object) -> Effect:
    return Effect(f"{script.name}.lua", f"script:{script.sha}")


def _pipeline(*_: object) -> Effect:
    return Effect(f"pipeline ({_calling_function()})")


def _command(_client: object, command: str, *args: object) -> Effect:
    code = (
        f"script:{hashlib.sha1(str(args[0]).encode(), usedforsecurity=False).hexdigest()}"
        if command == "EVAL"
        else ""
    )
    return Effect(f"{command} ({_calling_function()})", code)


def _request(_service: Service, method: str, url: str, *_: object) -> Effect:
    whole = URL(url).path
    steps = [step for step in whole.split("/") if step not in ("", "api")]
    path = "/".join("{id}" if re.fullmatch(r"\d+", step) else step for step in steps)
    methods = [
        frame.f_code.co_qualname for frame in _stack() if frame.f_globals["__name__"].startswith(GATEWAYS)
    ]
    code = ",".join([Service._transmit.__qualname__, *methods])
    if whole.startswith(LOG_IN_PATH):
        return Effect(f"{method} {path}", code, "log-in")
    outermost = methods[-1] if methods else ""  # the one that the handler called
    return Effect(f"{method} {path} ({outermost.rpartition('.')[2]})", code)


def _stack() -> Iterator[FrameType]:
    """The running frames, innermost first; includes those of awaiting coroutines."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _calling_function() -> str:
    """The function of the product that sends the command."""
    for frame in _stack():
        if frame.f_globals["__name__"].startswith("streamdialer."):
            return frame.f_code.co_name.strip("_")
    return "?"


# How each duty is named.


def _stream_duty(duty: str, consumer: StreamConsumer, *_: object) -> str:
    return f"{consumer.stream.rpartition(':')[2]} {duty}"


def _entry_duty(consumer: StreamConsumer, entry: Entry) -> str:
    stage = consumer.stream.rpartition(":")[2]
    kind = entry.fields.get("kind", "") if stage == "ticks" else ""
    return f"{stage} {kind}".strip()
