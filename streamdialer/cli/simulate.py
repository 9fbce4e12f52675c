"""`simulate`: the pacing code against the simulated call centre, in virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamdialer.cli.common import AsJson, echo, load_settings, print_json, print_table
from streamdialer.errors import SettingsError
from streamdialer.operations.campaigns import read_campaign_id
from streamdialer.simulation.study.compare import Estimate, PolicyResult, compare
from streamdialer.simulation.study.from_campaign import FittedScenario, fit_campaign
from streamdialer.simulation.study.plots import can_plot, plot_standings
from streamdialer.simulation.study.scenario import Scenario
from streamdialer.simulation.study.scenarios import load_scenario, shipped

BOUNDS: Final = ("oracle_rates", "oracle_agents")
"""Printed beside every result."""
COMPARED: Final = (
    "adaptive",
    "fixed",
    "fixed:mode=power,ratio=2",
    "ticks",
    "ticks:mode=power,ratio=3",
    "vicidial:method=hard_limit",
    "vicidial:method=average",
    "vicidial:method=tapered",
    "oracle_full",
)


def register(app: typer.Typer) -> None:
    """Adds this family's command."""
    app.command(epilog="Example: streamdialer simulate base --agents 50 --seeds 5 --compare --plot base.png")(
        simulate
    )


def simulate(
    ctx: typer.Context,
    scenario: Annotated[
        str | None, typer.Argument(help="A TOML file, or the name of a shipped scenario (base); see --list.")
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="CAMPAIGN", help="Instead of a scenario: as this campaign's calls went."
        ),
    ] = None,
    agents: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    answer_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of calls a person answers, instead of its.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="`name` or `name:argument=value,…`: fixed, ticks, vicidial, adaptive. Repeatable."),
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="Instead of the scenario's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Days to simulate, each with other chances.")] = 3,
    compare_all: Annotated[bool, typer.Option("--compare", help="All policies side by side.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Days simulated at once.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this file (.png, .svg).")] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="The shipped scenarios, and nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How a policy would do: agents at work, and people who answered and found nobody.

    Nobody is called and no server is used. The last two rows are bounds: the adaptive rule told every true
    chance, and a rule told when every agent will be free as well.
    """
    if list_all:
        _list(as_json)
        return
    if plot is not None:
        can_plot()
    now = None
    if campaign is None:
        day = load_scenario(scenario or "base")
    elif scenario is not None:
        raise SettingsError("--from: takes the place of a scenario; give one of them")
    else:
        now = anyio.run(fit_campaign, load_settings(ctx), read_campaign_id(campaign), agents)
        day = now.fit.scenario
    day = _adjusted(day, agents, answer_rate, hours)
    policies = [*(policy or ()), *(COMPARED if compare_all else () if policy else ("adaptive",)), *BOUNDS]
    if now is not None:
        policies = [now.policy, *policies]
    policies = list(dict.fromkeys(policies))
    bar = Progress(
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("days", total=len(policies) * seeds)
        standings = compare(day, policies, range(seeds), processes=processes, done=lambda: bar.advance(task))
    if plot is not None:
        plot_standings(standings, day.title or "simulated day", min(each.cap for each in day.campaigns), plot)
    if as_json:
        print_json({"scenario": day, "fit": now, "policies": [_briefly(standing) for standing in standings]})
    else:
        if now is not None:
            _show_fit(now)
        _show(day, standings, seeds)


def _list(as_json: bool) -> None:
    if as_json:
        print_json(shipped())
    else:
        print_table(["scenario", "what it is"], shipped().items())


def _adjusted(
    scenario: Scenario, agents: int | None, answer_rate: float | None, hours: float | None
) -> Scenario:
    calls = scenario.calls
    if answer_rate is not None:
        calls = msgspec.structs.replace(calls, human=answer_rate)
        if (total := answer_rate + calls.machine + calls.busy + calls.failed) > 1 + 1e-9:
            room = 1 - (total - answer_rate)
            raise SettingsError(
                f"--answer-rate: got {answer_rate:g}, takes at most {room:.3g} beside the scenario's machine, "
                "busy and failed"
            )
    return msgspec.structs.replace(
        scenario, agents=agents or scenario.agents, calls=calls, hours=hours or scenario.hours
    )


def _show_fit(now: FittedScenario) -> None:
    calls, work = now.fit.scenario.calls, now.fit.scenario.work
    echo(
        f"{now.fit.calls:,} calls on record: people answer {calls.human:.0%}, machines {calls.machine:.0%}, busy "
        f"{calls.busy:.0%}, failed {calls.failed:.0%}; people let it ring {calls.answer_mean_s:.0f} s and talk "
        f"{work.talk_mean_s:.0f} s, agents wrap up {work.wrap_up_mean_s:.0f} s. It is dialed by {now.policy}."
    )
    if now.fit.assumed:
        echo(f"Not on record, so assumed: {', '.join(now.fit.assumed)}.")


def _briefly(standing: PolicyResult) -> PolicyResult:
    """With the minute by minute course of the first seed only."""
    first, *others = standing.days
    return msgspec.structs.replace(
        standing, days=[first, *(msgspec.structs.replace(day, course=[]) for day in others)]
    )


def _show(scenario: Scenario, standings: list[PolicyResult], seeds: int) -> None:
    days = "1 day" if seeds == 1 else f"{seeds} days"
    echo(f"{scenario.title or 'scenario'}: {scenario.agents} agents, {days} of {scenario.hours:g} hours")
    print_table(
        [
            "policy",
            "#at work %",
            "#talk %",
            "#abandoned %",
            "#days in cap %",
            "#worst ½ h %",
            "#calls",
            "#ringing",
        ],
        [
            (
                standing.policy,
                _percent(standing.occupancy, 1),
                _percent(standing.talk_share, 1),
                _percent(standing.abandon_rate, 2),
                f"{100 * standing.within_cap:.0f}",
                _percent(standing.worst_half_hour, 1),
                f"{standing.calls.mean:.0f}",
                f"{standing.mean_ringing.mean:.1f}",
            )
            for standing in standings
        ],
    )


def _percent(estimate: Estimate, digits: int) -> str:
    text = f"{100 * estimate.mean:.{digits}f}"
    return text if estimate.half_width is None else f"{text} ±{100 * estimate.half_width:.{digits}f}"
