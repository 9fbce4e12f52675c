"""`dashboard`: serves the web dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamdialer.cli.common import echo, load_settings, run_service, start_logging, stopped_by_signals
from streamdialer.cli.extras import how_to_install_dashboard
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer dashboard --port 5555")
def dashboard(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that is not loopback needs a log-in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5555,
) -> None:
    """Serve the web dashboard: campaigns, streams, replicas, dead letters. Needs the extra `dashboard`."""

    missing = how_to_install_dashboard()
    if missing is not None:
        raise SettingsError(missing)
    settings = load_settings(ctx)
    start_logging(settings)
    run_service(_serve, settings, host, port)


async def _serve(settings: Settings, host: str, port: int) -> None:
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.dashboard import serve

    shutdown = ShutdownSignal()
    async with stopped_by_signals(shutdown):
        await serve(settings, host, port, shutdown, echo)
