"""`explain`: why a campaign is dialed as it is, or is not dialed."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from streamdialer.cli.common import AsJson, load_settings, print_json, say
from streamdialer.config import Settings
from streamdialer.explanation import decisions, explain
from streamdialer.inspection import server_ms
from streamdialer.model import TickResult
from streamdialer.operations import reached, read_campaign_id


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
    status, records, now_ms = anyio.run(_read, load_settings(ctx), campaign, last)
    if as_json:
        print_json({"campaign": campaign, "status": status, "decisions": records})
        return
    for line in explain(campaign, status, records, now_ms):
        say(line)


async def _read(settings: Settings, campaign: str, last: int) -> tuple[str | None, list[TickResult], int]:
    """Status, decisions and the server's time, ms."""
    async with reached(settings) as (client, keys):
        status = await client.hget(keys.campaign(campaign), "status")
        records = await decisions(client, keys, campaign, last)
        return None if status is None else str(status), records, await server_ms(client)
