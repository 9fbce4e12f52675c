"""`--namespaces`: one command serves several tenants, each in processes of its own, under one supervisor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec
import typer

from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.consumers.supervisor import Program

Namespaces = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Serve these tenants, in processes of their own; overrides STREAMDIALER_NAMESPACE.",
    ),
]


def read_namespaces(text: str | None, settings: Settings) -> list[Settings]:
    """The settings of each tenant in a comma-separated list; without one, those given. Raises SettingsError."""
    from streamdialer.config.values import NAMESPACE_FORM, is_namespace

    if text is None:
        return [settings]
    names = [part.strip() for part in text.split(",")]
    if not all(map(is_namespace, names)) or len(set(names)) < len(names):
        raise SettingsError(f"--namespaces: got {text!r}, takes different names, each {NAMESPACE_FORM}")
    return [msgspec.structs.replace(settings, namespace=name) for name in names]


def run_supervised(
    ctx: typer.Context, tenants: list[Settings], commands: list[list[str]], ports: list[int]
) -> None:
    """Runs the commands as child processes, as many for each tenant; settings come through the environment."""
    from streamdialer.config.loading import environment_of
    from streamdialer.consumers.supervisor import Program

    given = {option: value for option, value in ctx.obj.items() if value}
    programs = []
    for number, (command, port) in enumerate(zip(commands, ports, strict=True), 1):
        namespace = tenants[(number - 1) % len(tenants)].namespace
        # Only this process reports to the health file and systemd; it watches each child by a file of the child's own.
        environment = {**environment_of({**given, "namespace": namespace}), "NOTIFY_SOCKET": ""}
        line = [sys.executable, "-m", "streamdialer", *command]
        line += ["--health-port", str(port)] if port else []
        programs.append(Program(name=f"{namespace}-{number}".lstrip("-"), command=line, env=environment))
    anyio.run(_supervise, tenants, programs)


async def _supervise(tenants: list[Settings], programs: list[Program]) -> None:
    from streamdialer.broker.background_duty import running
    from streamdialer.consumers.background import HealthFile, systemd_duties
    from streamdialer.consumers.supervisor import Supervisor
    from streamdialer.operations.session import open_client

    settings = tenants[0]
    for tenant in tenants:
        async with open_client(tenant):
            pass  # fails at once when the server is unreachable
    supervisor = Supervisor(programs, shutdown_timeout_s=settings.shutdown_timeout_s)
    files = [HealthFile(settings.health_file)] if settings.health_file else []
    async with running(*files, *systemd_duties(supervisor.wait_stopping)):
        await supervisor.serve()
