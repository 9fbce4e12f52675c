"""`backend`: campaigns, lists and contacts for those who have no backend of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from streamdialer.cli.common import echo, start_logging
from streamdialer.cli.extras import how_to_install_backend
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer backend --port 8000 --data /var/lib/streamdialer")
def backend(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any.")] = 8000,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the database and the secret key; overrides STREAMDIALER_BACKEND_DATA."),
    ] = None,
    has_dialer: Annotated[bool, typer.Option("--has-dialer", hidden=True)] = False,
) -> None:
    """Serve campaigns, lists and contacts, with pages to administer them. Needs the extra `backend`."""
    from streamdialer.config import loading
    from streamdialer.config.settings import NAMES

    missing = how_to_install_backend()
    if missing is not None:
        raise SettingsError(missing)
    settings = loading.load({**ctx.obj, "backend_data": data and str(data)}).settings
    start_logging(settings)
    os.environ[NAMES["backend_data"]] = settings.backend_data  # where Django's settings read it
    from streamdialer.backend.server import serve

    folder = Path(settings.backend_data).absolute()
    serve(host, port, folder, echo, lambda: _keep_rows(settings), has_dialer=has_dialer)


def _keep_rows(settings: Settings) -> None:
    """With a Redis server named, threads store each ended attempt and each block as rows; another deletes old ones."""
    from streamdialer.backend.attempts import GROUP, store_outcomes
    from streamdialer.backend.blocks import store_blocks
    from streamdialer.backend.history import keep_history
    from streamdialer.operations.outcome_reader import read_outcomes

    work: dict[str, Callable[[], None]] = {}
    if settings.redis_url:
        work["outcomes"] = partial(anyio.run, read_outcomes, settings, GROUP, store_outcomes)
        work["blocks"] = partial(
            anyio.run, read_outcomes, settings, GROUP, store_blocks, lambda keys: keys.blocks
        )
    if settings.backend_history_days:
        work["history"] = partial(keep_history, settings.backend_history_days, threading.Event())
    for name, target in work.items():
        threading.Thread(target=target, name=name, daemon=True).start()
