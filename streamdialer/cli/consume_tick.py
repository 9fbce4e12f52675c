"""`consume` and `tick`: the two programs that run as long as calls are placed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec
import typer

from streamdialer.broker.keys import STAGES, Stage
from streamdialer.cli.common import AsJson, echo, load_settings, print_json, run_service, stopped_by_signals
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.consumers.replica import ReplicaOptions
    from streamdialer.consumers.supervisor import Program

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer consume --processes 2 --concurrency 100")
def consume(
    ctx: typer.Context,
    stages: Annotated[
        str, typer.Option(help="Stages to handle, separated by commas.", metavar="STAGES")
    ] = ",".join(STAGES),
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Entries handled at once in each stage.")
    ] = None,
    autoscale: Annotated[
        str | None,
        typer.Option(metavar="MAX,MIN", help="Move the concurrency with the backlog, between these bounds."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes; a supervisor restarts them.")
    ] = 1,
    max_tasks: Annotated[
        int | None,
        typer.Option(
            min=1, help="Exit cleanly after this many entries; with --processes a new process follows."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Consumer name, unique per replica; with --processes NAME-1, NAME-2, …")
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of /metrics, /live and /ready; with --processes the first of their ports.",
        ),
    ] = None,
) -> None:
    """Run a replica, which handles entries until SIGTERM or Ctrl-C.

    Then it takes no more entries, finishes or hands back those it holds, and exits with 0.
    """
    from streamdialer.config.loading import environment_of
    from streamdialer.consumers.replica import ReplicaOptions, replica_name
    from streamdialer.consumers.supervisor import Program
    from streamdialer.observability import tracing
    from streamdialer.observability.logs import set_up_logging

    options = ReplicaOptions(
        stages=read_stages(stages), concurrency=concurrency, autoscale=read_autoscale(autoscale), name=name
    )
    if concurrency is not None and autoscale is not None:
        raise SettingsError("--concurrency and --autoscale: use only one of them")
    settings = load_settings(ctx, health_port=health_port)
    ports = _health_ports(settings, processes)
    tracing.is_configured(os.environ)  # reports a wrong variable here, not in each process
    set_up_logging(settings.log_level, settings.log_format)
    if processes == 1:
        replica = name or replica_name()
        with tracing.tracing(replica):
            run_service(_consume, settings, msgspec.structs.replace(options, name=replica), max_tasks)
        return
    environment = environment_of({option: value for option, value in ctx.obj.items() if value})
    # Only this process reports to the health file and systemd; it watches each child by a file of the child's own.
    environment["NOTIFY_SOCKET"] = ""
    programs = [
        Program(name=str(number), command=_command(options, max_tasks, number, port), env=environment)
        for number, port in enumerate(ports, 1)
    ]
    anyio.run(_supervise, settings, programs)


@commands.command(epilog="Example: streamdialer tick --dial-every 5")
def tick(
    ctx: typer.Context,
    dial_every: Annotated[
        float | None, typer.Option(help="Seconds between the dial ticks of a campaign.")
    ] = None,
    retry_every: Annotated[float | None, typer.Option(help="Seconds between its retry ticks.")] = None,
    stats_every: Annotated[float | None, typer.Option(help="Seconds between its statistics ticks.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Add the ticks that are due now and exit.")] = False,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of /metrics, /live and /ready.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add ticks for each active campaign when they are due. Any number of producers may run."""
    from streamdialer.observability.logs import set_up_logging

    if as_json and not once:
        raise SettingsError("--json: needs --once")
    settings = load_settings(
        ctx,
        dial_interval_s=dial_every,
        retry_interval_s=retry_every,
        stats_interval_s=stats_every,
        health_port=health_port,
    )
    if not once:
        _health_ports(settings, 1)
    set_up_logging(settings.log_level, settings.log_format)
    added = run_service(_tick, settings, once)
    if once and as_json:
        print_json({"added": added})
    elif once:
        echo(f"{added} ticks added")


def read_stages(text: str) -> tuple[Stage, ...]:
    """Stages from a comma-separated list, in the order of STAGES; raises SettingsError."""
    names = {part.strip() for part in text.split(",") if part.strip()}
    if not names or names - set(STAGES):
        raise SettingsError(f"--stages: got {text!r}, takes one or more of {','.join(STAGES)}")
    return tuple(stage for stage in STAGES if stage in names)


def read_autoscale(text: str | None) -> tuple[int, int] | None:
    """(MAX, MIN) from `MAX,MIN`; raises SettingsError."""
    if text is None:
        return None
    maximum, _, minimum = text.partition(",")
    try:
        bounds = int(maximum), int(minimum)
    except ValueError:
        bounds = 0, 0
    if not 1 <= bounds[1] <= bounds[0]:
        raise SettingsError(f"--autoscale: got {text!r}, takes MAX,MIN: two numbers from 1, the larger first")
    return bounds


async def _consume(settings: Settings, options: ReplicaOptions, max_tasks: int | None) -> None:
    from streamdialer.broker.background_duty import running
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.consumers.background import systemd_duties
    from streamdialer.consumers.replica import run_replica
    from streamdialer.operations.session import open_client

    shutdown = ShutdownSignal(max_tasks)
    async with stopped_by_signals(shutdown):
        async with open_client(settings):
            pass  # fails at once when the server is unreachable
        async with running(*systemd_duties(shutdown.wait_stopping)):
            await run_replica(settings, options, shutdown)


async def _supervise(settings: Settings, programs: list[Program]) -> None:
    from streamdialer.broker.background_duty import running
    from streamdialer.consumers.background import HealthFile, systemd_duties
    from streamdialer.consumers.supervisor import Supervisor
    from streamdialer.operations.session import open_client

    async with open_client(settings):
        pass  # fails at once when the server is unreachable
    supervisor = Supervisor(programs, shutdown_timeout_s=settings.shutdown_timeout_s)
    files = [HealthFile(settings.health_file)] if settings.health_file else []
    async with running(*files, *systemd_duties(supervisor.wait_stopping)):
        await supervisor.serve()


def _health_ports(settings: Settings, processes: int) -> list[int]:
    """The health port of each process, 0 for none; raises SettingsError, or CannotBeDone when one is taken."""
    from streamdialer.operations.session import require_port

    first = settings.health_port
    if not first:
        return [0] * processes
    if first + processes > 65536:
        raise SettingsError(f"--health-port: got {first}, too high for {processes} processes")
    ports = list(range(first, first + processes))
    for port in ports:
        require_port(settings.health_host, port)
    return ports


def _command(options: ReplicaOptions, max_tasks: int | None, number: int, health_port: int) -> list[str]:
    """The command line of child process `number`; its settings come through the environment."""
    command = [sys.executable, "-m", "streamdialer", "consume", "--stages", ",".join(options.stages)]
    if options.concurrency is not None:
        command += ["--concurrency", str(options.concurrency)]
    if options.autoscale is not None:
        command += ["--autoscale", "{},{}".format(*options.autoscale)]
    if max_tasks is not None:
        command += ["--max-tasks", str(max_tasks)]
    if options.name is not None:
        command += ["--name", f"{options.name}-{number}"]
    if health_port:
        command += ["--health-port", str(health_port)]
    return command


async def _tick(settings: Settings, once: bool) -> int:
    """With `once`, returns how many ticks were added."""
    from streamdialer.broker.background_duty import running
    from streamdialer.broker.scripts import Scripts
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.consumers.background import background_duties, systemd_duties
    from streamdialer.consumers.replica import replica_name
    from streamdialer.operations.session import open_client
    from streamdialer.producers.ticks import TickProducer

    shutdown = ShutdownSignal()
    async with open_client(settings) as (client, keys), Scripts(client, patient=not once) as scripts:
        producer = TickProducer(scripts, keys, settings, shutdown)
        if once:
            return await producer.once()
        duties = background_duties(settings, scripts, keys, shutdown, name=replica_name(), role="tick")
        async with stopped_by_signals(shutdown), running(*duties, *systemd_duties(shutdown.wait_stopping)):
            await producer.serve()
    return 0
