"""`outcomes`: how calls ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_json,
    stopped_by_signals,
    with_redis,
)
from streamdialer.errors import SettingsError
from streamdialer.model import normalise_id

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streamdialer.broker.keys import Keys
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer outcomes --follow --campaign 7 --json")
def outcomes(
    ctx: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print outcomes as calls end, until Ctrl-C or SIGTERM.")
    ] = False,
    campaign: Annotated[str, typer.Option(metavar="ID", help="Only this campaign.")] = "",
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="ISO 8601 (UTC unless it has an offset), or an age: 30s, 15m, 2h, 1d. "
            "Default: all that is kept; with --follow only new ones.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ended attempts, one a line, oldest first. An attempt that comes again is corrected by its newest line.

    Numbers are shown in full.
    """
    from streamdialer.operations.outcomes import read_since

    since_ms = None if since is None else read_since(since, round(time.time() * 1000))
    try:
        campaign = normalise_id(campaign) if campaign else ""
    except ValueError as error:
        raise SettingsError(f"campaign: {error}") from error
    settings = load_settings(ctx)
    if follow:
        anyio.run(_follow, settings, since_ms, campaign, as_json)
    else:
        with_redis(settings, _print, since_ms, campaign, as_json=as_json)


async def _follow(settings: Settings, since_ms: int | None, campaign: str, as_json: bool) -> None:
    from streamdialer.broker.shutdown import ShutdownSignal
    from streamdialer.observability.logs import set_up_logging
    from streamdialer.operations.session import open_client

    set_up_logging(settings.log_level, settings.log_format)
    shutdown = ShutdownSignal()
    async with open_client(settings) as (client, keys), stopped_by_signals(shutdown):
        await _print(client, keys, since_ms, campaign, as_json=as_json, follow=shutdown)


async def _print(
    client: Redis,
    keys: Keys,
    since_ms: int | None,
    campaign: str,
    *,
    as_json: bool,
    follow: ShutdownSignal | None = None,
) -> None:
    from streamdialer.operations.outcomes import outcomes as read_outcomes

    async for outcome in read_outcomes(client, keys, since_ms=since_ms, campaign=campaign, follow=follow):
        if as_json:
            print_json(outcome)
        else:
            echo(_describe(outcome))


def _describe(outcome: dict[str, Any]) -> str:
    get = outcome.get
    how = f"{get('disposition')} ({get('cause')})" if get("cause") else str(get("disposition"))
    next_call = (
        "no further call" if get("final") else f"next call {get('next_at') or 'is later in this list'}"
    )
    parts = [
        str(get("ended_at")),
        f"campaign {get('campaign_id')}",
        f"contact {get('contact_id')}",
        str(get("phone_number") or "number not known"),
        f"attempt {get('attempt')}",
        how,
        f"{get('duration')} s" if get("duration") is not None else "",
        f"agent {get('agent_id')}" if get("agent_id") else "",
        next_call,
    ]
    return "  ".join(part for part in parts if part)
