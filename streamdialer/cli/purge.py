"""`purge`: empties a stream."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from streamdialer.broker.keys import STREAMS, Stream
from streamdialer.broker.purge import Purge
from streamdialer.broker.scripts import Scripts
from streamdialer.cli.common import AsJson, echo, load_settings, print_json, progress
from streamdialer.config.settings import Settings
from streamdialer.errors import SettingsError
from streamdialer.operations.session import open_client


def register(app: typer.Typer) -> None:
    """Adds this family's command."""
    app.command(epilog="Example: streamdialer purge ticks --yes")(purge)


def purge(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(metavar="STREAM", help=", ".join(STREAMS) + ".")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Its entries are gone for good, and that is meant.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what a stream holds; what is added meanwhile stays, and so do its consumers.

    Refused for `calls` while any call is reserved, and for `updates` while the backend has not confirmed everything.
    Purged events are news nobody hears: their calls stay uncertain until their deadline.
    """
    chosen = next((one for one in STREAMS if one == stream), None)
    if chosen is None:
        raise SettingsError(f"stream: got {stream!r}, takes {', '.join(STREAMS)}")
    if not yes:
        raise SettingsError(f"purge {chosen}: deletes its entries for good; say --yes if that is meant")
    deleted = anyio.run(_purge, load_settings(ctx), chosen)
    if as_json:
        print_json({"stream": chosen, "deleted": deleted})
    else:
        echo(f"{deleted} deleted")


async def _purge(settings: Settings, stream: Stream) -> int:
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        purge = Purge(scripts, keys)
        with progress(f"purging {stream}", await purge.length(stream)) as note:
            return await purge.empty(stream, note)
