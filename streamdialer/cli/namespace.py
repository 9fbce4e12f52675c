"""`namespace`: moves a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_json, run_async
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.operations.move import MoveResult

ANSWER_TIMEOUT_S: Final = 600.0
"""A key of some hundred megabytes takes long to be read or written."""
commands = typer.Typer(
    name="namespace",
    no_args_is_help=True,
    help="Move a tenant to another Redis.",
    epilog="Example: streamdialer namespace move --to redis://10.0.0.7:6379/0",
)


@commands.callback()
def _group() -> None:
    """A group, although it has one command."""


@commands.command(epilog="Example: streamdialer namespace move --to redis://10.0.0.7:6379/0")
def move(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(metavar="URL", help="The new Redis, written as REDIS_URL.")],
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for calls and processes to end.")
    ] = 7200.0,
    as_json: AsJson = False,
) -> None:
    """Move all data of STREAMDIALER_NAMESPACE, or of no namespace, from REDIS_URL to another Redis.

    It pauses the campaigns, waits for their calls, says which processes you must stop, copies, and makes the campaigns
    active on the new Redis. Then start the processes with the new REDIS_URL. With the old one they refuse to start.
    When it gives up or is interrupted, campaigns stay paused until you run it again or start them.
    """
    from streamdialer.config.urls import validate_redis_url

    settings = load_settings(ctx)
    if expected := validate_redis_url(to):
        raise SettingsError(f"--to: takes {expected}")
    result = run_async(_move, settings, to, wait, as_json)
    if as_json:
        print_json(result)
    else:
        echo(f"{result.keys} keys moved; active campaigns: {', '.join(result.started) or 'none'}")
        echo("now set REDIS_URL to the new Redis, and start the processes")
        echo(
            "give it to every program that writes events or starts campaigns: at the old Redis nobody reads them"
        )


async def _move(settings: Settings, to: str, wait_s: float, quiet: bool) -> MoveResult:
    from streamdialer.broker.connection import close, connect, keys_for, keys_of, ping
    from streamdialer.config.urls import mask_url
    from streamdialer.operations.move import Place
    from streamdialer.operations.move import move as move_data

    source, target = (connect(url, ANSWER_TIMEOUT_S) for url in (settings.redis_url, to))
    try:
        await ping(source, settings.redis_url)
        await ping(target, to)
        return await move_data(
            Place(source, keys_of(settings), mask_url(settings.redis_url)),
            Place(target, keys_for(to, settings.namespace, settings.contact_ids), mask_url(to)),
            wait_s=wait_s,
            say=lambda line: None if quiet else echo(line),
        )
    finally:
        await close(source)
        await close(target)
