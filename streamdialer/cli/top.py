"""`top`: everything there is to see, live at a terminal."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import anyio
import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.cli.common import AsJson, escape_controls, load_settings, print_json
from streamdialer.cli.top_view import render
from streamdialer.config.settings import Settings
from streamdialer.errors import Unreachable
from streamdialer.operations.overview import Overview, overview
from streamdialer.operations.session import open_client

REFRESH_INTERVAL_S: Final = 1.0
STALE_AFTER_S: Final = 3.0
"""A reading that takes longer is told: what is shown is old."""
PLAIN_WIDTH: Final = 160
"""Of a snapshot that goes into a file or a pipe."""


def register(app: typer.Typer) -> None:
    """Adds this family's command."""
    app.command(epilog="Example: streamdialer top")(top)


def top(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Campaigns, agents, calls, streams and replicas, live: q or Ctrl-C ends it. Without a terminal, one snapshot."""
    settings = load_settings(ctx)
    if as_json:
        print_json(anyio.run(_snapshot, settings))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        seen = anyio.run(_snapshot, settings)
        lines = 1000 + len(seen.campaigns)
        Console(width=PLAIN_WIDTH, color_system=None).print(render(seen, width=PLAIN_WIDTH, height=lines))
        return
    anyio.run(_watch, settings)


async def _snapshot(settings: Settings) -> Overview:
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        return await overview(scripts, keys)


class _Watched:
    """The newest overview, and since when there is no newer one."""

    def __init__(self, seen: Overview) -> None:
        self.seen = seen
        self.at = anyio.current_time()
        self.error = ""

    async def read(self, scripts: Scripts, keys: Keys) -> None:
        """Reads once a second, until cancelled; a server that is away is asked again."""
        while True:
            await anyio.sleep(REFRESH_INTERVAL_S)
            try:
                self.seen = await overview(scripts, keys)
            except (RedisError, Unreachable, *TRANSIENT) as error:
                self.error = str(error) or type(error).__name__
            else:
                self.at, self.error = anyio.current_time(), ""

    @property
    def trouble(self) -> str:
        """'' when what is shown is new."""
        old_s = anyio.current_time() - self.at
        if not self.error and old_s < STALE_AFTER_S:
            return ""
        since = datetime.fromtimestamp(self.seen.at / 1000, UTC).strftime("%H:%M:%S UTC")
        return escape_controls(
            f"Redis does not answer; this is of {since}, {old_s:.0f} s ago. {self.error}".strip()
        )


async def _watch(settings: Settings) -> None:
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        watched = _Watched(await overview(scripts, keys))
        console = Console()
        with (
            anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
            _keys_at_once(),
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watched.read, scripts, keys)
                tasks.start_soon(_end_on_q, tasks.cancel_scope)
                tasks.start_soon(_end_on_signal, signals, tasks.cancel_scope)
                while True:
                    size = console.size
                    shown = render(
                        watched.seen, width=size.width, height=size.height, trouble=watched.trouble
                    )
                    live.update(shown, refresh=True)
                    await anyio.sleep(REFRESH_INTERVAL_S / 2)


@contextmanager
def _keys_at_once() -> Iterator[None]:
    """Keys are read as they are pressed, and not shown; the terminal is left as it was."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _end_on_q(scope: anyio.CancelScope) -> None:
    while True:
        await anyio.wait_readable(sys.stdin)
        pressed = os.read(sys.stdin.fileno(), 64)
        if not pressed or b"q" in pressed.lower():  # the terminal has gone, or q
            scope.cancel()
            return


async def _end_on_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return
