"""What the commands share: settings, Redis, errors as one line and an exit code, tables, JSON, signals."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar

import anyio
import msgspec
import typer
from typer.core import TyperGroup

from streamdialer.cli.help_texts import use_help_context
from streamdialer.errors import SettingsError, StreamdialerError, Unreachable

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from redis.asyncio import Redis
    from rich.progress import Progress

    from streamdialer.broker.keys import Keys
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.config.settings import Settings

log = logging.getLogger(__name__)
SLOW_S: Final = 1.0
"""Work that takes longer shows a progress bar."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
P = ParamSpec("P")
T = TypeVar("T")


class Commands(TyperGroup):
    """The root command: an error that a user can fix becomes one line and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        use_help_context(self)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (BrokenPipeError, typer.Exit, typer.TyperException):
            raise
        except (StreamdialerError, OSError, ExceptionGroup) as error:
            _fail(error)
        except _redis_errors() as error:
            _fail(error)


def _fail(error: Exception) -> NoReturn:
    """Exits with the line of the first error; raises the whole group when one of its errors is a bug."""
    leaves = list(_flatten(error))
    for leaf in leaves:
        if not isinstance(leaf, StreamdialerError | OSError) and not isinstance(leaf, _redis_errors()):
            raise error
    message, code = exit_code(leaves[0])
    typer.secho("Error: ", fg="red", nl=False, err=True)
    typer.echo(escape_controls(message), err=True)
    raise typer.Exit(code) from None


def _redis_errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    from streamdialer.broker.connection import TRANSIENT

    return (RedisError, *TRANSIENT)


def _flatten(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _flatten(inner)
    else:
        yield error


def exit_code(error: BaseException) -> tuple[str, int]:
    """The line, and the code: 1 it could not be done · 2 wrong usage or settings · 3 a server is unreachable."""
    if isinstance(error, SettingsError):
        return str(error), 2
    if isinstance(error, Unreachable):
        return str(error), 3
    if isinstance(error, StreamdialerError | OSError):
        return str(error), 1
    from streamdialer.broker.connection import TRANSIENT

    return f"Redis: {error}", 3 if isinstance(error, TRANSIENT) else 1


def load_settings(ctx: typer.Context, **overrides: object) -> Settings:
    """Settings with the command's options; raises SettingsError, also when REDIS_URL is not set."""
    from streamdialer.config import loading

    settings = loading.load({**ctx.obj, **overrides}).settings
    loading.require_redis(settings)
    return settings


def start_logging(settings: Settings) -> None:
    """Sets up the log of a long-running program. Its first line names keys that were not chosen."""
    from streamdialer.broker.connection import names_to_tell
    from streamdialer.observability.logs import set_up_logging

    set_up_logging(settings.log_level, settings.log_format)
    if settings.redis_url and (text := names_to_tell(settings)):
        log.warning(text)


def with_redis(
    settings: Settings,
    work: Callable[Concatenate[Redis, Keys, P], Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Runs `work` with a client and its key names and returns the result; raises Unreachable."""
    from streamdialer.operations.session import open_client

    async def run() -> T:
        async with open_client(settings) as (client, keys):
            return await work(client, keys, *args, **kwargs)

    return run_async(run)


def run_async(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns. Ctrl-C ends it, whatever it waits for, as KeyboardInterrupt.

    asyncio would cancel it once, and a client library that is just sending can swallow that (Python 3.11); this scope
    cancels until the work has ended.
    """

    async def until_interrupted() -> T:
        with anyio.CancelScope() as scope:
            if threading.current_thread() is threading.main_thread():
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, scope.cancel)
            return await work(*args, **kwargs)
        raise KeyboardInterrupt

    return anyio.run(until_interrupted)


def run_service(work: Callable[..., Awaitable[T]], *args: object) -> T:
    """What `work`, a program without an end of its own, returns; on uvloop where the platform has it.

    What was imported stays to the end: the garbage collector need not go through it again and again.
    """
    gc.collect()
    gc.freeze()
    return anyio.run(work, *args, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def escape_controls(text: str) -> str:
    """Text that is safe in one line of a terminal: control characters and broken bytes as escape sequences."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def echo(text: str) -> None:
    """Prints one line, whatever the text holds."""
    typer.echo(escape_controls(text))


def print_json(document: object) -> None:
    """Prints one JSON document on one line."""
    plain = _without_broken_bytes(msgspec.to_builtins(document, enc_hook=str))  # kinds of text, too
    text = msgspec.json.encode(plain).decode()
    if not text.isprintable():
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    typer.echo(text)


def _without_broken_bytes(document: Any) -> Any:
    """Bytes that are not UTF-8 come from Redis as lone surrogates, which JSON cannot hold."""
    if isinstance(document, str):
        return document.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(document, dict):
        return {_without_broken_bytes(k): _without_broken_bytes(v) for k, v in document.items()}
    if isinstance(document, list | tuple):
        return [_without_broken_bytes(each) for each in document]
    return document


def print_text(document: object, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        echo(text)


def print_rows(
    document: object, columns: Sequence[str], rows: Iterable[Sequence[object]], *, as_json: bool
) -> None:
    if as_json:
        print_json(document)
    else:
        print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table, unwrapped if the output is not a terminal. A column that begins with # is right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*("" if cell is None else escape_controls(str(cell)) for cell in row))
    with console.capture() as output:
        console.print(table)
    for line in output.get().splitlines():
        typer.echo(line.rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Prints one name and its value per line."""
    pairs = [
        (escape_controls(name), "" if value is None else escape_controls(str(value)))
        for name, value in fields
    ]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal and the work takes over a second.

    Call what it yields with the number of items done; `total` None: how many there are is not known.
    """
    bar: Progress | None = None
    slow_from = time.monotonic() + SLOW_S if sys.stderr.isatty() else float("inf")

    def report(done: int) -> None:
        nonlocal bar
        if bar is None and time.monotonic() > slow_from:
            bar = _start_bar(label, total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield report
    finally:
        if bar is not None:
            bar.stop()


def _start_bar(label: str, total: int | None) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("", total=total)
    bar.start()
    return bar


@asynccontextmanager
async def stopped_by_signals(shutdown: ShutdownSignal) -> AsyncIterator[TaskGroup]:
    """Inside, the first SIGTERM or SIGINT sets `shutdown`, a second exits at once; tasks end with the block."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signals, shutdown)
        yield tasks
        tasks.cancel_scope.cancel()


async def _stop_on_signals(shutdown: ShutdownSignal) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for received in signals:
            if shutdown.stopping:
                os._exit(128 + received)
            shutdown.stop()
