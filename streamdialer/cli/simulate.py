"""`simulate`: the pacing code against the simulated call centre, in virtual time."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_json,
    print_rows,
    print_table,
    progress,
    run_async,
)
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.simulation.study.compare import Estimate, PolicyResult
    from streamdialer.simulation.study.from_campaign import FittedScenario
    from streamdialer.simulation.study.scenario import Scenario

BOUNDS: Final = ("oracle_rates", "oracle_agents")
"""Simulated and shown with every result."""
COMPARED_POLICIES: Final = (
    "adaptive",
    "fixed",
    "fixed:mode=power,ratio=2",
    "ticks",
    "ticks:mode=power,ratio=3",
    "vicidial:method=hard_limit",
    "vicidial:method=average",
    "vicidial:method=tapered",
    "omnidialer",
    "impact_dialing",
    "issabel",
    "issabel:overcommit=yes",
    "oracle_full",
)

commands = typer.Typer()


@commands.command(
    epilog="Example: streamdialer simulate base --agents 50 --seeds 5 --compare --plot base.png"
)
def simulate(
    ctx: typer.Context,
    scenario: Annotated[
        str | None, typer.Argument(help="A TOML file, or the name of a shipped scenario (base); see --list.")
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="CAMPAIGN", help="Instead of a scenario: fit one to this campaign's calls."
        ),
    ] = None,
    agents: Annotated[int | None, typer.Option(min=1, help="Agents; replaces the scenario's.")] = None,
    answer_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of calls that a person answers; replaces the scenario's."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="`name` or `name:argument=value,…`: fixed, ticks, vicidial, omnidialer, "
            "impact_dialing, issabel, adaptive. Repeatable."
        ),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="Length of the day; replaces the scenario's.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Days to simulate, each with other random draws.")] = 3,
    compare_all: Annotated[bool, typer.Option("--compare", help="Compare all policies.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Days simulated at the same time.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this file (.png, .svg).")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the shipped scenarios and exit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate how a policy would do: occupancy of the agents, abandoned calls.

    No real call is placed. Redis is read only with --from. Two of the rows are bounds: oracle_rates is the adaptive
    rule with every true chance known, oracle_agents also knows when each agent will be free.
    """
    if list_all:
        _list(as_json)
        return
    from streamdialer.operations.campaigns import read_campaign_id
    from streamdialer.simulation.study.compare import compare
    from streamdialer.simulation.study.from_campaign import fit_campaign
    from streamdialer.simulation.study.plots import plot_results, require_matplotlib
    from streamdialer.simulation.study.scenarios import load_scenario

    if plot is not None:
        require_matplotlib()
    fitted = None
    if campaign is None:
        day = load_scenario(scenario or "base")
    elif scenario is not None:
        raise SettingsError("--from: replaces the scenario, give only one of them")
    else:
        fitted = run_async(fit_campaign, load_settings(ctx), read_campaign_id(campaign), agents)
        day = fitted.fit.scenario
    day = _adjust(day, agents, answer_rate, hours)
    defaults = COMPARED_POLICIES if compare_all else () if policy else ("adaptive",)
    policies = list(
        dict.fromkeys([*([fitted.policy] if fitted else ()), *(policy or ()), *defaults, *BOUNDS])
    )
    days = count(1)
    with progress("simulating", len(policies) * seeds) as report:
        results = compare(
            day, policies, range(seeds), processes=processes, on_day_done=lambda: report(next(days))
        )
    if plot is not None:
        cap = min(campaign.cap for campaign in day.campaigns)
        plot_results(results, day.title or "simulated day", cap, plot)
    if as_json:
        print_json(
            {
                "scenario": day,
                "fit": fitted,
                "policies": [_without_other_minutes(result) for result in results],
            }
        )
    else:
        if fitted is not None:
            _show_fit(fitted)
        _show(day, results, seeds)


def _list(as_json: bool) -> None:
    from streamdialer.simulation.study.scenarios import shipped_scenarios

    scenarios = shipped_scenarios()
    print_rows(scenarios, ["scenario", "description"], scenarios.items(), as_json=as_json)


def _adjust(
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


def _show_fit(fitted: FittedScenario) -> None:
    calls, work = fitted.fit.scenario.calls, fitted.fit.scenario.work
    echo(
        f"{fitted.fit.calls:,} calls on record: answered by a person {calls.human:.0%}, by a machine "
        f"{calls.machine:.0%}, busy {calls.busy:.0%}, failed {calls.failed:.0%}; ring time until a person answers "
        f"{calls.answer_mean_s:.0f} s, talk {work.talk_mean_s:.0f} s, wrap-up {work.wrap_up_mean_s:.0f} s. "
        f"The campaign is dialed by {fitted.policy}."
    )
    if fitted.fit.assumed:
        echo(f"Not on record, taken from the base scenario: {', '.join(fitted.fit.assumed)}.")


def _without_other_minutes(result: PolicyResult) -> PolicyResult:
    """With the minutes of the first seed only."""
    first, *others = result.days
    return msgspec.structs.replace(
        result, days=[first, *(msgspec.structs.replace(day, minutes=[]) for day in others)]
    )


def _show(scenario: Scenario, results: list[PolicyResult], seeds: int) -> None:
    days = "1 day" if seeds == 1 else f"{seeds} days"
    echo(f"{scenario.title or 'scenario'}: {scenario.agents} agents, {days} of {scenario.hours:g} hours")
    headings = ("policy", "#occupancy %", "#talk share %", "#abandon rate %", "#days within cap %")
    print_table(
        [*headings, "#worst ½ h %", "#calls", "#ringing"],
        [
            (
                result.policy,
                _percent(result.occupancy, 1),
                _percent(result.talk_share, 1),
                _percent(result.abandon_rate, 2),
                f"{100 * result.within_cap:.0f}",
                _percent(result.worst_half_hour, 1),
                f"{result.calls.mean:.0f}",
                f"{result.mean_ringing.mean:.1f}",
            )
            for result in results
        ],
    )


def _percent(estimate: Estimate, digits: int) -> str:
    text = f"{100 * estimate.mean:.{digits}f}"
    return text if estimate.half_width is None else f"{text} ±{100 * estimate.half_width:.{digits}f}"
