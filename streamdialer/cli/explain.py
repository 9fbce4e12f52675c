"""`explain`: why a campaign is dialed as it is, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_json, with_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streamdialer.broker.keys import Keys
    from streamdialer.model import TickResult
    from streamdialer.operations.waiting_contacts import Waiting


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None
    decisions: list[TickResult]
    waiting: list[Waiting]
    now_ms: int


commands = typer.Typer()


@commands.command("explain", epilog="Example: streamdialer explain 7 --last 20")
def explain_campaign(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    last: Annotated[int, typer.Option(min=1, max=1000, help="Decisions to show, newest first.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Why each decision placed that many calls; first of all, why the campaign is not dialed. Times are UTC."""
    from streamdialer.operations.campaigns import read_campaign_id
    from streamdialer.operations.decisions import dial_status, explain
    from streamdialer.operations.waiting_contacts import describe

    campaign = read_campaign_id(campaign)
    read = with_redis(load_settings(ctx), _read, campaign, last)
    first, *lines = explain(campaign, read.status, read.decisions, read.now_ms)
    if as_json:
        newest = read.decisions[0] if read.decisions else None
        reason = dial_status(campaign, read.status, newest, read.now_ms).reason
        document = {"campaign": campaign, "status": read.status, "stands": first, "reason": reason}
        print_json({**document, "waiting": read.waiting, "decisions": read.decisions})
        return
    for line in filter(None, [first, describe(read.waiting), *lines]):
        echo(line)


async def _read(client: Redis, keys: Keys, campaign: str, last: int) -> _Read:
    from streamdialer.broker.connection import server_ms
    from streamdialer.operations.decisions import decisions
    from streamdialer.operations.waiting_contacts import waiting_for

    status = await client.hget(keys.campaign(campaign), "status")
    records, now_ms = await decisions(client, keys, campaign, last), await server_ms(client)
    return _Read(
        status=None if status is None else str(status),
        decisions=records,
        waiting=await waiting_for(client, keys, campaign, now_ms),
        now_ms=now_ms,
    )
