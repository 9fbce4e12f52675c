"""`demo`: the whole dialer on one machine, with nothing to install and no real calls."""

from __future__ import annotations

import sys
from typing import Annotated, Final, cast

import anyio
import typer

from streamdialer.cli.common import AsJson, print_json
from streamdialer.cli.extras import how_to_install_dashboard
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.model import DialMode, Pacing

MODES = ("progressive", "predictive", "power")
PACINGS = ("fixed", "adaptive")
DASHBOARD: Final = ("127.0.0.1", 5555)

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer demo --mode power --seconds 60 --kill-every 5")
def demo(
    mode: Annotated[str, typer.Option(help="progressive, predictive or power.")] = "predictive",
    pacing: Annotated[
        str,
        typer.Option(help="For predictive campaigns: fixed (by the ratio) or adaptive (by the abandon cap)."),
    ] = "fixed",
    agents: Annotated[int, typer.Option(min=1, help="Agents logged in.")] = 50,
    contacts: Annotated[int, typer.Option(min=1, help="People to call, all campaigns together.")] = 1000,
    campaigns: Annotated[int, typer.Option(min=1, help="Campaigns that share the agents.")] = 2,
    answer_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the calls that a person answers.")
    ] = 0.3,
    speed: Annotated[
        float, typer.Option(min=1, max=120, help="Seconds of simulated time per second.")
    ] = 30.0,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End after this; by default when all contacts are final.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="Consumer processes.")] = 2,
    kill_every: Annotated[
        float | None, typer.Option(min=0.5, help="Kill a replica every so many seconds and start another.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the simulated people and of the choice of killed replicas.")
    ] = 0,
    no_dashboard: Annotated[
        bool, typer.Option("--no-dashboard", help="Without the web page on 127.0.0.1:5555.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch it work: an embedded Redis, a simulated telephone network, a producer and real replicas.

    Uses no server and no settings of yours. Ends with a summary; exit code 1 when a person was called twice at
    once or a contact was lost.
    """
    from rich.console import Console

    from streamdialer.cli.demo_view import DemoView
    from streamdialer.observability.logs import set_up_logging
    from streamdialer.simulation.demo import DemoOptions, run_demo

    if mode not in MODES:
        why = "; in preview mode an agent requests each call, and the demo's agents do not"
        raise SettingsError(
            f"--mode: got {mode!r}, takes one of {', '.join(MODES)}{why if mode == 'preview' else ''}"
        )
    if pacing not in PACINGS:
        raise SettingsError(f"--pacing: got {pacing!r}, takes one of {', '.join(PACINGS)}")
    if pacing == "adaptive" and mode != "predictive":
        raise SettingsError(f"--pacing adaptive: needs --mode predictive, not {mode}")
    options = DemoOptions(
        mode=cast("DialMode", mode),
        pacing=cast("Pacing", pacing),
        agents=agents,
        contacts=contacts,
        campaigns=campaigns,
        answer_rate=answer_rate,
        speed=speed,
        seconds=seconds,
        replicas=replicas,
        kill_every_s=kill_every,
        seed=seed,
        dashboard_port=None if no_dashboard else _dashboard_port(),
    )
    set_up_logging("WARNING", "text")
    console = Console(stderr=as_json)
    with DemoView(options, console, live=sys.stdout.isatty() and not as_json) as view:
        summary = anyio.run(run_demo, options, view.show)
    if as_json:
        print_json(summary)
    else:
        view.show_summary(summary)
    if not summary.is_good:
        raise typer.Exit(1)


def _dashboard_port() -> int | None:
    """The dashboard's port; None, after saying why, when it cannot be started."""
    from streamdialer.operations.session import require_port

    host, port = DASHBOARD
    why_not = how_to_install_dashboard()
    if why_not is None:
        try:
            require_port(host, port)
        except CannotBeDone as error:
            why_not = str(error)
    if why_not is not None:
        typer.echo(f"Without a dashboard: {why_not}", err=True)
        return None
    typer.echo(f"Dashboard: http://{host}:{port}/", err=True)
    return port
