"""Reads the overview again and again, and draws it on a terminal until q or Ctrl-C."""

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
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from streamdialer.broker.connection import TRANSIENT
from streamdialer.broker.keys import Keys
from streamdialer.broker.scripts import Scripts
from streamdialer.cli.common import escape_controls
from streamdialer.cli.top_view import render
from streamdialer.config.settings import Settings
from streamdialer.errors import Unreachable
from streamdialer.operations.overview.collect import overview
from streamdialer.operations.overview.views import Overview
from streamdialer.operations.session import open_client

REFRESH_INTERVAL_S: Final = 1.0
STALE_AFTER_S: Final = 3.0
"""A picture older than this says so."""


async def read(settings: Settings) -> Overview:
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        return await overview(scripts, keys)


class _Newest:
    """The newest overview, and how old it is."""

    def __init__(self, first: Overview) -> None:
        self.overview = first
        self.at = anyio.current_time()
        self.error = ""

    async def keep_reading(self, scripts: Scripts, keys: Keys) -> None:
        """Reads once a second, until cancelled; after an error it tries again."""
        while True:
            await anyio.sleep(REFRESH_INTERVAL_S)
            try:
                self.overview = await overview(scripts, keys)
            except (RedisError, Unreachable, *TRANSIENT) as error:
                self.error = str(error) or type(error).__name__
            else:
                self.at, self.error = anyio.current_time(), ""

    @property
    def trouble(self) -> str:
        """'' while the overview is new."""
        old_s = anyio.current_time() - self.at
        if not self.error and old_s < STALE_AFTER_S:
            return ""
        since = datetime.fromtimestamp(self.overview.at / 1000, UTC).strftime("%H:%M:%S UTC")
        return escape_controls(
            f"Redis does not answer; this is from {since}, {old_s:.0f} s ago. {self.error}".strip()
        )


async def watch(settings: Settings) -> None:
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        newest = _Newest(await overview(scripts, keys))
        console = Console()
        with (
            anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
            _unbuffered_keys(),
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(newest.keep_reading, scripts, keys)
                tasks.start_soon(_end_on_q, tasks.cancel_scope)
                tasks.start_soon(_end_on_signal, signals, tasks.cancel_scope)
                while True:
                    width, height = console.size
                    picture = render(newest.overview, width=width, height=height, trouble=newest.trouble)
                    live.update(picture, refresh=True)
                    await anyio.sleep(REFRESH_INTERVAL_S / 2)


@contextmanager
def _unbuffered_keys() -> Iterator[None]:
    """Keys can be read at once and are not echoed; restores the terminal."""
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
        if not pressed or b"q" in pressed.lower():  # the terminal is gone, or q
            scope.cancel()
            return


async def _end_on_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return
