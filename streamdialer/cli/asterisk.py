"""`asterisk`: the program that watches Asterisk and writes its calls and agents as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamdialer.cli.common import load_settings, run_service, start_logging, stopped_by_signals
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer asterisk")
def asterisk(
    ctx: typer.Context,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of /metrics, /live and /ready.")
    ] = None,
) -> None:
    """Watch Asterisk over AMI, and write its calls and agents as events. Any number may run.

    It reads the addresses of all servers from ASTERISK_AMI_URL, and connects again after every loss.
    """
    from streamdialer.config.ami_urls import AMI_URL_FORMS
    from streamdialer.operations.session import require_port

    settings = load_settings(ctx, health_port=health_port)
    if not settings.asterisk_ami_url:
        raise SettingsError(f"ASTERISK_AMI_URL: not set; takes {AMI_URL_FORMS}")
    if settings.health_port:
        require_port(settings.health_host, settings.health_port, "--health-port")
    start_logging(settings)
    run_service(_watch, settings)


async def _watch(settings: Settings) -> None:
    from streamdialer.broker.background_duty import running
    from streamdialer.broker.scripts import Scripts
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.config.ami_urls import parse_ami_urls
    from streamdialer.consumers.background import background_duties, systemd_duties
    from streamdialer.consumers.replica import replica_name
    from streamdialer.gateways.ami.client import AmiClient
    from streamdialer.operations.session import open_client
    from streamdialer.producers.asterisk.watch import watch
    from streamdialer.producers.asterisk.writing import EventWriter

    shutdown = ShutdownSignal()
    async with open_client(settings) as (client, keys), Scripts(client) as scripts:
        duties = background_duties(settings, scripts, keys, shutdown, name=replica_name(), role="asterisk")
        writer = EventWriter(scripts, keys)
        async with (
            stopped_by_signals(shutdown) as tasks,
            running(*duties, *systemd_duties(shutdown.wait_stopping)),
        ):
            for address in parse_ami_urls(settings.asterisk_ami_url):
                tasks.start_soon(watch, AmiClient(address), writer, settings)
            await shutdown.wait_stopping()
