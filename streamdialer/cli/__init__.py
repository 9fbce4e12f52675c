"""The command line: thin commands, one file per family; `operations` does the work.

The file of a family imports what `--help` needs. A command imports what it works with when it runs.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from streamdialer.cli import (
    asterisk,
    backend,
    campaigns,
    config_doctor,
    consume_tick,
    contacts,
    dashboard,
    dead,
    demo,
    dnc,
    events,
    explain,
    inspect,
    namespace,
    outcomes,
    purge,
    rules,
    serve,
    simulate,
    ticks,
    top,
    webhooks,
)
from streamdialer.cli.common import Commands
from streamdialer.config.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="streamdialer",
    help="Decides when a contact centre's automatic calls are placed, and places each exactly once.",
    epilog="Example: streamdialer --redis-url redis://127.0.0.1:6379/0 consume",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for family in (
    *(
        consume_tick,
        serve,
        asterisk,
        backend,
        webhooks,
        ticks,
        dashboard,
        events,
        outcomes,
        purge,
        top,
        explain,
        config_doctor,
        demo,
        simulate,
    ),
    *(campaigns, contacts, dnc, dead, inspect, namespace, rules),
):
    app.add_typer(family.commands)


def _show_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"streamdialer {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    redis_url: Annotated[str | None, typer.Option(help="Redis server; overrides REDIS_URL.")] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--namespace", help="Tenant whose keys to use; overrides STREAMDIALER_NAMESPACE."),
    ] = None,
    backend_url: Annotated[str | None, typer.Option(help="Django backend; overrides BACKEND_URL.")] = None,
    dialer_api_url: Annotated[str | None, typer.Option(help="Dialer API; overrides DIALER_API_URL.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, text or json.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command; they override the environment and `.env`."""
    ctx.obj = {
        "redis_url": redis_url,
        "namespace": tenant,
        "backend_url": backend_url,
        "dialer_api_url": dialer_api_url,
        "log_level": log_level,
        "log_format": log_format,
    }


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 must not make a command fail
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="streamdialer")
