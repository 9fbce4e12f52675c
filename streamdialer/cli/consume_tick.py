"""`consume` and `tick`: the two programs that run for as long as calls are to be placed."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import anyio
import msgspec
import typer

from streamdialer.broker import ShutdownSignal
from streamdialer.broker.background_duty import running
from streamdialer.broker.keys import STAGES, Stage
from streamdialer.broker.scripts import Scripts
from streamdialer.cli.common import AsJson, echo, load_settings, print_json, stop_on_signals
from streamdialer.config.settings import NAMES, Settings
from streamdialer.consumers.background import HealthFile, background_duties, systemd_duties
from streamdialer.consumers.replica import ReplicaOptions, replica_name, run_replica
from streamdialer.consumers.supervisor import Supervisor
from streamdialer.errors import SettingsError
from streamdialer.observability import tracing
from streamdialer.observability.logs import set_up_logging
from streamdialer.operations.session import open_client, require_port
from streamdialer.producers.ticks import Schedule, TickProducer


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command(epilog="Example: streamdialer consume --processes 2 --concurrency 100")(consume)
    app.command(epilog="Example: streamdialer tick --dial-every 5")(tick)


def consume(
    ctx: typer.Context,
    stages: Annotated[
        str, typer.Option(help="Stages to work in, separated by commas.", metavar="STAGES")
    ] = ",".join(STAGES),
    concurrency: Annotated[int | None, typer.Option(min=1, help="Entries handled at once per stage.")] = None,
    autoscale: Annotated[
        str | None, typer.Option(metavar="MAX,MIN", help="Move the number with the backlog, between bounds.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes, under one that restarts them.")] = 1,
    max_tasks: Annotated[
        int | None,
        typer.Option(min=1, help="End cleanly after so many entries; with --processes: start afresh."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Consumer name, its own for each replica; NAME-1 … with --processes.")
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Answer /metrics, /live and /ready here; with --processes the first port."
        ),
    ] = None,
) -> None:
    """Work: one replica. SIGTERM or Ctrl-C: stop taking, finish or hand back what is held, exit 0."""
    options = ReplicaOptions(
        stages=read_stages(stages),
        concurrency=concurrency,
        autoscale=read_autoscale(autoscale),
        name=name,
    )
    if concurrency is not None and autoscale is not None:
        raise SettingsError("--concurrency and --autoscale: both given, takes one of them")
    settings = load_settings(ctx, health_port=health_port)
    ports = _require_ports(settings, processes)
    tracing.is_configured(os.environ)  # a wrong variable is told here, not by each process
    set_up_logging(settings.log_level, settings.log_format)
    if processes == 1:
        replica = name or replica_name()
        with tracing.tracing(replica):
            anyio.run(_consume, settings, msgspec.structs.replace(options, name=replica), max_tasks)
        return
    commands = [_command(options, max_tasks, number, port) for number, port in enumerate(ports, 1)]
    given = {NAMES[option]: str(value) for option, value in ctx.obj.items() if value}
    anyio.run(_supervise, settings, commands, given)


def tick(
    ctx: typer.Context,
    dial_every: Annotated[
        float | None, typer.Option(help="Seconds between dial ticks of a campaign.")
    ] = None,
    retry_every: Annotated[float | None, typer.Option(help="Seconds between its retry ticks.")] = None,
    stats_every: Annotated[float | None, typer.Option(help="Seconds between its statistics ticks.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Add what is due now and end.")] = False,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Answer /metrics, /live and /ready here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a tick per active campaign whenever one is due. Any number of producers may run."""
    if as_json and not once:
        raise SettingsError("--json: goes with --once only")
    settings = load_settings(
        ctx,
        dial_interval_s=dial_every,
        retry_interval_s=retry_every,
        stats_interval_s=stats_every,
        health_port=health_port,
    )
    if not once:
        _require_ports(settings, 1)
    set_up_logging(settings.log_level, settings.log_format)
    added = anyio.run(_tick, settings, once)
    if once and as_json:
        print_json({"added": added})
    elif once:
        echo(f"{added} ticks added")


def read_stages(text: str) -> tuple[Stage, ...]:
    """Stages named in a comma list, in their own order; raises SettingsError."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if not wanted or wanted - set(STAGES):
        raise SettingsError(f"--stages: got {text!r}, takes one or more of {','.join(STAGES)}")
    return tuple(stage for stage in STAGES if stage in wanted)


def read_autoscale(text: str | None) -> tuple[int, int] | None:
    """`MAX,MIN`; raises SettingsError."""
    if text is None:
        return None
    most, _, least = text.partition(",")
    try:
        bounds = int(most), int(least)
    except ValueError:
        bounds = 0, 0
    if not 1 <= bounds[1] <= bounds[0]:
        raise SettingsError(f"--autoscale: got {text!r}, takes MAX,MIN: two numbers from 1, the larger first")
    return bounds


async def _consume(settings: Settings, options: ReplicaOptions, max_tasks: int | None) -> None:
    run = ShutdownSignal(max_tasks)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signals, run)
        async with open_client(settings):
            pass
        async with running(*systemd_duties(run.wait_stopping)):
            await run_replica(settings, options, run)
        tasks.cancel_scope.cancel()


async def _supervise(settings: Settings, commands: list[list[str]], env: dict[str, str]) -> None:
    async with open_client(settings):
        pass
    # file and service manager hear of this process alone: it watches its children, each by a file of its own
    supervisor = Supervisor(
        commands, shutdown_timeout_s=settings.shutdown_timeout_s, env=env | {"NOTIFY_SOCKET": ""}
    )
    files = [HealthFile(settings.health_file)] if settings.health_file else []
    async with running(*files, *systemd_duties(supervisor.wait_stopping)):
        await supervisor.serve()


def _require_ports(settings: Settings, processes: int) -> list[int]:
    """The health port of each process, 0 for none; raises SettingsError or CannotBeDone."""
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
    """The command line of the supervisor's child `number`; its settings come through the environment."""
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
    """How many ticks were added, with `once`."""
    schedule = Schedule(
        dial_interval_s=settings.dial_interval_s,
        retry_interval_s=settings.retry_interval_s,
        stats_interval_s=settings.stats_interval_s,
        cleanup_after_s=settings.cleanup_after_s,
        scan_keys_per_s=settings.scan_keys_per_s,
    )
    run = ShutdownSignal()
    async with open_client(settings) as (client, keys), Scripts(client, patient=not once) as scripts:
        producer = TickProducer(scripts, keys, schedule, run)
        if once:
            return await producer.once()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_on_signals, run)
            duties = background_duties(settings, scripts, keys, run, name=replica_name(), role="tick")
            async with running(*duties, *systemd_duties(run.wait_stopping)):
                await producer.serve()
            tasks.cancel_scope.cancel()
    return 0
