"""`top`: campaigns, agents, calls, streams and replicas, live on a terminal."""

from __future__ import annotations

import sys
from typing import Final

import anyio
import typer

from streamdialer.cli.common import AsJson, load_settings, print_json, run_async

PLAIN_WIDTH: Final = 160
"""Of an overview that goes into a file or a pipe."""

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer top")
def top(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Campaigns, agents, calls, streams and replicas, live: q or Ctrl-C ends it. Without a terminal, once."""
    from streamdialer.cli.top_live import read, watch

    settings = load_settings(ctx)
    if as_json:
        print_json(run_async(read, settings))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from rich.console import Console

        from streamdialer.cli.top_view import render

        now = run_async(read, settings)
        lines = 1000 + len(now.campaigns)
        Console(width=PLAIN_WIDTH, color_system=None).print(render(now, width=PLAIN_WIDTH, height=lines))
        return
    anyio.run(watch, settings)
