"""`purge`: empties a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamdialer.broker.keys import STREAMS, Keys, Stream
from streamdialer.cli.common import AsJson, load_settings, print_text, progress, with_redis
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer purge ticks --yes")
def purge(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help=", ".join(STREAMS) + ".")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Confirm that its entries are deleted permanently.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the entries of a stream; its consumers and the entries that are added meanwhile stay.

    Refused for `calls` while a call is reserved, and for `updates` while the backend has not confirmed all of them.
    Refused for `outcomes` while a consumer group has not acknowledged all.
    If you purge `events`, calls whose events are lost stay uncertain until their deadline.
    """
    name = next((name for name in STREAMS if name == stream), None)
    if name is None:
        raise SettingsError(f"stream: got {stream!r}, takes {', '.join(STREAMS)}")
    if not yes:
        raise SettingsError(f"purge {name}: deletes its entries permanently; add --yes to confirm")
    deleted = with_redis(load_settings(ctx), _purge, name)
    print_text({"stream": name, "deleted": deleted}, f"{deleted} entries deleted", as_json=as_json)


async def _purge(client: Redis, keys: Keys, stream: Stream) -> int:
    from streamdialer.broker.purge import Purge
    from streamdialer.broker.scripts import Scripts

    async with Scripts(client, patient=False) as scripts:
        purge = Purge(scripts, keys)
        with progress(f"purging {stream}", await purge.length(stream)) as report:
            return await purge.empty(stream, report)
