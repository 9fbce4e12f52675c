"""`serve`: everything on one machine, supervised, for a small call centre or a trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from streamdialer.cli.common import echo
from streamdialer.cli.extras import how_to_install_backend, how_to_install_dashboard
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.loading import LoadedSettings
    from streamdialer.consumers.supervisor import Supervisor

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer serve --data /var/lib/streamdialer --simulate-telephones")
def serve(
    ctx: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of all data; overrides STREAMDIALER_BACKEND_DATA."),
    ] = None,
    asterisk: Annotated[
        str, typer.Option(metavar="URL", help="Asterisk's AMI: ami://user:secret@host:5038.")
    ] = "",
    simulate_telephones: Annotated[
        bool,
        typer.Option("--simulate-telephones", help="Simulated telephones and agents: your list, no calls."),
    ] = False,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="Consumer processes.")] = 2,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")] = 5555,
    backend_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the backend.")] = 8000,
    agents: Annotated[int, typer.Option(min=1, help="Simulated agents in each queue.")] = 10,
    speed: Annotated[float, typer.Option(min=1, max=120, help="Seconds of simulated life per second.")] = 1.0,
) -> None:
    """Run everything on this machine: Redis, backend, tick producer, replicas, telephones, dashboard.

    Needs the extras `backend`, `dashboard` and `demo`. All data is in one folder; started again, it goes on where it
    was. SIGTERM or Ctrl-C ends all programs in order.
    """
    from streamdialer.config import loading
    from streamdialer.config.ami_urls import AMI_URL_FORMS
    from streamdialer.consumers.supervisor import Supervisor
    from streamdialer.observability.logs import set_up_logging
    from streamdialer.operations.one_machine import OneMachine, is_written_by_serve, prepared

    for missing in (how_to_install_backend(), how_to_install_dashboard()):
        if missing is not None:
            raise SettingsError(missing)
    overrides = {"backend_data": data and str(data), "asterisk_ami_url": asterisk}
    # A `.env` of an earlier run is not the user's: simulated telephones have other settings than Asterisk.
    reads_file = not is_written_by_serve(Path(".env"))
    loaded = loading.load({**ctx.obj, **overrides}, reads_file=reads_file)
    if bool(loaded.settings.asterisk_ami_url) == simulate_telephones:
        raise SettingsError(
            f"serve takes one of two: --simulate-telephones, or --asterisk (or ASTERISK_AMI_URL), {AMI_URL_FORMS}"
        )
    if speed != 1 and not simulate_telephones:
        raise SettingsError("--speed: needs --simulate-telephones")
    level = "WARNING" if loaded.origin["log_level"] == "default" else loaded.settings.log_level
    log_format = "text" if loaded.origin["log_format"] == "default" else loaded.settings.log_format
    set_up_logging(level, log_format)
    machine = OneMachine(
        folder=Path(loaded.settings.backend_data).absolute(),
        replicas=replicas,
        dashboard_port=port,
        backend_port=backend_port,
        settings=_given(loaded) | {"log_level": level, "log_format": log_format},
        say=echo,
        asterisk_url=loaded.settings.asterisk_ami_url,
        simulated_telephones=_simulated_telephones(agents, speed) if simulate_telephones else None,
        speed=speed,
    )
    with prepared(machine) as programs:
        supervisor = Supervisor(programs, shutdown_timeout_s=loaded.settings.shutdown_timeout_s)
        anyio.run(_serve, supervisor)


async def _serve(supervisor: Supervisor) -> None:
    async with anyio.create_task_group() as telling:
        telling.start_soon(_say_stopping, supervisor)
        await supervisor.serve()
        telling.cancel_scope.cancel()
    echo("stopped: the next start goes on from here")


async def _say_stopping(supervisor: Supervisor) -> None:
    await supervisor.wait_stopping()
    echo("stopping: no new calls")


def _simulated_telephones(agents: int, speed: float) -> Callable[[int], list[str]]:
    from streamdialer.simulation.servers.telephones import TelephoneOptions, arguments_of

    return lambda port: arguments_of(TelephoneOptions(port=port, agents=agents, speed=speed))


def _given(loaded: LoadedSettings) -> dict[str, object]:
    """The settings that are not defaults, by field name."""
    return {
        name: getattr(loaded.settings, name) for name, origin in loaded.origin.items() if origin != "default"
    }
