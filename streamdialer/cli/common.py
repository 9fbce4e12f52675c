"""What the commands share: settings, errors as one line and an exit code, tables, JSON, signals."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, NoReturn

import anyio
import msgspec
import typer
from redis.exceptions import RedisError
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from streamdialer.broker import ShutdownSignal
from streamdialer.broker.connection import TRANSIENT
from streamdialer.config import loading
from streamdialer.config.settings import Settings
from streamdialer.errors import SettingsError, StreamdialerError, Unreachable

MENDABLE: Final = (StreamdialerError, RedisError, *TRANSIENT)
"""What the user, or whoever runs the server, can mend; OSError is among them."""
SLOW_S: Final = 1.0
"""Work that takes longer shows how far it is."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


class Commands(TyperGroup):
    """The root of all commands: what a user can mend is told in one line, with the exit code that stands for it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise
        except (*MENDABLE, ExceptionGroup) as error:
            _tell(error)


def _tell(error: Exception) -> NoReturn:
    """Ends with the first error's line; anything among them that nobody can mend is raised whole."""
    leaves = list(_flatten(error))
    if not all(isinstance(leaf, MENDABLE) for leaf in leaves):
        raise error
    message, code = exit_code(leaves[0])
    typer.secho("Error: ", fg="red", nl=False, err=True)
    typer.echo(escape_controls(message), err=True)
    raise typer.Exit(code) from None


def _flatten(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _flatten(inner)
    else:
        yield error


def exit_code(error: BaseException) -> tuple[str, int]:
    """The line, and the code: 1 it could not be done · 2 wrong usage or settings · 3 a server could not be reached."""
    if isinstance(error, SettingsError):
        return str(error), 2
    if isinstance(error, Unreachable):
        return str(error), 3
    if isinstance(error, StreamdialerError | OSError):
        return str(error), 1
    return f"Redis: {error}", 3 if isinstance(error, TRANSIENT) else 1


def load_settings(ctx: typer.Context, **overrides: object) -> Settings:
    """Settings with the options given; raises SettingsError, also when no Redis server is named."""
    settings = loading.load({**ctx.obj, **overrides}).settings
    loading.require_redis(settings)
    return settings


def escape_controls(text: str) -> str:
    """Text that is safe on a terminal: other people's control characters and broken bytes are spelled out."""
    return "".join(each if each.isprintable() or each == "\n" else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def echo(text: str) -> None:
    """One line, or several, for people."""
    typer.echo(escape_controls(text))


def print_json(document: object) -> None:
    """One JSON document on a line of its own."""
    plain = _without_broken_bytes(msgspec.to_builtins(document))
    typer.echo(msgspec.json.encode(plain).decode())


def _without_broken_bytes(document: Any) -> Any:
    """Bytes that are no UTF-8 come from Redis as lone surrogates, which JSON cannot carry."""
    if isinstance(document, str):
        return document.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(document, dict):
        return {_without_broken_bytes(k): _without_broken_bytes(v) for k, v in document.items()}
    if isinstance(document, list | tuple):
        return [_without_broken_bytes(each) for each in document]
    return document


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; whole and unwrapped where the output is no terminal. A column that begins with # is right-aligned."""
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*("" if cell is None else escape_controls(str(cell)) for cell in row))
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        typer.echo(line.rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Name and value, one pair per line."""
    pairs = [(name, "" if value is None else escape_controls(str(value))) for name, value in fields]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error, once the work has taken a second; it is told how many are done."""
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=total)
    slow_from = time.monotonic() + SLOW_S if sys.stderr.isatty() else float("inf")
    is_shown = False

    def note(done: int) -> None:
        nonlocal is_shown
        if not is_shown and time.monotonic() > slow_from:
            bar.start()
            is_shown = True
        if is_shown:
            bar.update(task, completed=done)

    try:
        yield note
    finally:
        if is_shown:
            bar.stop()


async def stop_on_signals(run: ShutdownSignal) -> None:
    """The first SIGTERM or SIGINT stops the run; a second ends the process where it stands."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for received in signals:
            if run.stopping:
                os._exit(128 + received)
            run.stop()
