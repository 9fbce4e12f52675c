"""`explain`: why a campaign is dialed as it is, or is not dialed."""

from __future__ import annotations

from typing import Annotated

import anyio
import msgspec
import typer

from streamdialer.broker.connection import server_ms
from streamdialer.cli.common import AsJson, echo, load_settings, print_json
from streamdialer.config.settings import Settings
from streamdialer.model import TickResult
from streamdialer.operations.campaigns import read_campaign_id
from streamdialer.operations.decisions import decisions, dial_status, explain
from streamdialer.operations.session import open_client
from streamdialer.operations.waiting_contacts import Waiting, describe, waiting_for


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None
    decisions: list[TickResult]
    waiting: list[Waiting]
    now_ms: int


def register(app: typer.Typer) -> None:
    """Adds this family's command."""
    app.command("explain", epilog="Example: streamdialer explain 7 --last 20")(explain_campaign)


def explain_campaign(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    last: Annotated[int, typer.Option(min=1, max=1000, help="Decisions to show, newest first.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Why it dialed as many as it did; for a campaign that is not dialing, the reason first. Times are UTC."""
    campaign = read_campaign_id(campaign)
    seen = anyio.run(_read, load_settings(ctx), campaign, last)
    stands, *told = explain(campaign, seen.status, seen.decisions, seen.now_ms)
    if as_json:
        newest = seen.decisions[0] if seen.decisions else None
        reason = dial_status(campaign, seen.status, newest, seen.now_ms).reason
        document = {"campaign": campaign, "status": seen.status, "stands": stands, "reason": reason}
        print_json({**document, "waiting": seen.waiting, "decisions": seen.decisions})
        return
    for line in filter(None, [stands, describe(seen.waiting), *told]):
        echo(line)


async def _read(settings: Settings, campaign: str, last: int) -> _Seen:
    async with open_client(settings) as (client, keys):
        status = await client.hget(keys.campaign(campaign), "status")
        records, now_ms = await decisions(client, keys, campaign, last), await server_ms(client)
        return _Seen(
            status=None if status is None else str(status),
            decisions=records,
            waiting=await waiting_for(client, keys, campaign, now_ms),
            now_ms=now_ms,
        )
