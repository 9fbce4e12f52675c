"""`consume` and `tick`: the two programs that run as long as calls are placed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamdialer.broker.keys import STAGES, Stage
from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_json,
    run_service,
    start_logging,
    stopped_by_signals,
)
from streamdialer.cli.tenants import Namespaces, read_namespaces, run_supervised
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.consumers.replica import ReplicaOptions

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
    namespaces: Namespaces = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes, per tenant; a supervisor restarts them.")
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
    from streamdialer.consumers.replica import ReplicaOptions, replica_name
    from streamdialer.observability import tracing

    options = ReplicaOptions(
        stages=read_stages(stages), concurrency=concurrency, autoscale=read_autoscale(autoscale), name=name
    )
    if concurrency is not None and autoscale is not None:
        raise SettingsError("--concurrency and --autoscale: use only one of them")
    settings = load_settings(ctx, health_port=health_port)
    tenants = read_namespaces(namespaces, settings)
    ports = _health_ports(settings, processes * len(tenants))
    tracing.is_configured(os.environ)  # reports a wrong variable here, not in each process
    start_logging(settings)
    if len(ports) == 1:
        replica = name or replica_name()
        with tracing.tracing(replica):
            run_service(_consume, tenants[0], msgspec.structs.replace(options, name=replica), max_tasks)
        return
    commands = [_consume_command(options, max_tasks, number) for number in range(1, len(ports) + 1)]
    run_supervised(ctx, tenants, commands, ports)


@commands.command(epilog="Example: streamdialer tick --dial-every 5")
def tick(
    ctx: typer.Context,
    dial_every: Annotated[
        float | None, typer.Option(help="Seconds between the dial ticks of a campaign.")
    ] = None,
    retry_every: Annotated[float | None, typer.Option(help="Seconds between its retry ticks.")] = None,
    stats_every: Annotated[float | None, typer.Option(help="Seconds between its statistics ticks.")] = None,
    namespaces: Namespaces = None,
    once: Annotated[bool, typer.Option("--once", help="Add the ticks that are due now and exit.")] = False,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of /metrics, /live and /ready; with --namespaces the first of their ports.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add ticks for each active campaign when they are due. Any number of producers may run."""

    if as_json and not once:
        raise SettingsError("--json: needs --once")
    settings = load_settings(
        ctx,
        dial_interval_s=dial_every,
        retry_interval_s=retry_every,
        stats_interval_s=stats_every,
        health_port=health_port,
    )
    tenants = read_namespaces(namespaces, settings)
    ports = [] if once else _health_ports(settings, len(tenants))
    start_logging(settings)
    if len(ports) > 1:
        every = {"--dial-every": dial_every, "--retry-every": retry_every, "--stats-every": stats_every}
        options = [part for name, value in every.items() if value is not None for part in (name, str(value))]
        return run_supervised(ctx, tenants, [["tick", *options]] * len(ports), ports)
    added = sum(run_service(_tick, tenant, once) for tenant in tenants)
    if once and as_json:
        print_json({"added": added})
    elif once:
        echo(f"{added} ticks added")
    return None


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
        require_port(settings.health_host, port, "--health-port")
    return ports


def _consume_command(options: ReplicaOptions, max_tasks: int | None, number: int) -> list[str]:
    """The arguments of child process `number`."""
    command = ["consume", "--stages", ",".join(options.stages)]
    if options.concurrency is not None:
        command += ["--concurrency", str(options.concurrency)]
    if options.autoscale is not None:
        command += ["--autoscale", "{},{}".format(*options.autoscale)]
    if max_tasks is not None:
        command += ["--max-tasks", str(max_tasks)]
    if options.name is not None:
        command += ["--name", f"{options.name}-{number}"]
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
