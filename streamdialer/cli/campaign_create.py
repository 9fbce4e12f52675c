"""`campaign create`: a campaign in our own backend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdialer.cli.common import AsJson, print_text, run_async
from streamdialer.errors import SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Name that people see.")],
    queue: Annotated[
        str | None,
        typer.Option(
            help="Its agents take the calls; made when it is not there. Only agentless campaigns need none."
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="Dial mode: preview, progressive, predictive, power or agentless.")
    ] = "progressive",
    ratio: Annotated[float | None, typer.Option(help="Calls per free agent.")] = None,
    hours: Annotated[
        str | None, typer.Option(metavar="FROM-UNTIL", help="Daily hours, such as 9-18 or 08:30-19:00.")
    ] = None,
    days: Annotated[str | None, typer.Option(help="Days such as 0-4: 0 is Monday, 6 Sunday.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone, such as America/Bogota.")] = None,
    country: Annotated[str | None, typer.Option(help="Country of numbers without +, such as CO.")] = None,
    rule_pack: Annotated[str | None, typer.Option(help="Rule pack, such as co.")] = None,
    trunk: Annotated[str | None, typer.Option(help="Trunk of its calls.")] = None,
    caller_id: Annotated[str | None, typer.Option(help="Number that the called person sees.")] = None,
    caller_ids: Annotated[
        str | None, typer.Option(help="Numbers that called people see in turn, separated by commas.")
    ] = None,
    caller_id_choice: Annotated[
        str | None, typer.Option(help="How one of --caller-ids is chosen: rotate or area_code.")
    ] = None,
    caller_id_daily_cap: Annotated[
        int | None, typer.Option(min=1, help="Most calls per number of --caller-ids and day.")
    ] = None,
    ring_timeout: Annotated[
        int | None, typer.Option(min=5, max=600, help="Seconds that a call may ring.")
    ] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Most calls at once.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Calls at once of an agentless campaign.")] = None,
    calls_per_second: Annotated[float | None, typer.Option(min=0.01, help="Most new calls a second.")] = None,
    reserve_agents: Annotated[
        int | None, typer.Option(min=0, help="Free agents that stay free for incoming calls.")
    ] = None,
    auto_pause: Annotated[
        bool | None, typer.Option(help="It pauses itself when half of its calls fail.")
    ] = None,
    max_retries: Annotated[int | None, typer.Option(min=0, help="Most attempts of each contact.")] = None,
    retry_delay: Annotated[float | None, typer.Option(min=0, help="Seconds before the next attempt.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a campaign in the backend and print its id. It is not dialed before it is started."""
    from streamdialer.config.loading import load

    if queue is None and mode != "agentless":
        raise SettingsError("--queue is missing: only an agentless campaign needs no agents")
    start_time, end_time = _hours(hours)
    fields = {
        "name": name,
        "queue_name": queue,
        "dial_mode": mode,
        "pacing_ratio": ratio,
        "country": country,
        "start_time": start_time,
        "end_time": end_time,
        "days_of_week": _days(days),
        "timezone": timezone,
        "rule_pack": rule_pack,
        "trunk": trunk,
        "caller_id": caller_id,
        "caller_ids": [each.strip() for each in caller_ids.split(",")] if caller_ids else None,
        "caller_id_choice": caller_id_choice,
        "caller_id_daily_cap": caller_id_daily_cap,
        "ring_timeout": ring_timeout,
        "max_concurrent_calls": max_calls,
        "slots": slots,
        "calls_per_second": calls_per_second,
        "reserve_agents": reserve_agents,
        "auto_pause": auto_pause,
        "max_retries": max_retries,
        "retry_delay": retry_delay,
    }
    given = {field: value for field, value in fields.items() if value is not None}
    campaign = run_async(_create, load(ctx.obj).settings, given)
    print_text({"campaign_id": campaign}, f"campaign {campaign}: created", as_json=as_json)


async def _create(settings: Settings, fields: dict[str, Any]) -> int:
    from streamdialer.gateways.own_backend import OwnBackend

    async with OwnBackend(settings) as backend:
        return await backend.create_campaign(fields)


def _hours(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,2})(:\d\d)?-(\d{1,2})(:\d\d)?", text.replace(" ", ""))
    if found is None:
        raise SettingsError(f"--hours: got {text!r}, takes hours such as 9-18 or 08:30-19:00")
    return f"{found[1]:0>2}{found[2] or ':00'}", f"{found[3]:0>2}{found[4] or ':00'}"


def _days(text: str | None) -> list[int] | None:
    if text is None:
        return None
    days: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"([0-6])(?:-([0-6]))?", part.strip())
        if found is None:
            raise SettingsError(f"--days: got {text!r}, takes days such as 0-4 or 0,2,5: 0 is Monday")
        days.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return sorted(days)
