"""`explain`: why a campaign is dialed as it is, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_json, with_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streamdialer.broker.keys import Keys
    from streamdialer.model import TickResult
    from streamdialer.operations.refused_updates import RefusedUpdates
    from streamdialer.operations.waiting_contacts import Waiting


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
    from streamdialer.operations.refused_updates import notices
    from streamdialer.operations.waiting_contacts import describe

    campaign = read_campaign_id(campaign)
    settings = load_settings(ctx)
    (status, auto_paused), records, waiting, refused, registries, refusal, now_ms = with_redis(
        settings, _read, campaign, last
    )
    first, *lines = explain(campaign, status, records, now_ms, refusal, auto_paused)
    if as_json:
        newest = records[0] if records else None
        reason = dial_status(campaign, status, newest, now_ms, refusal, auto_paused).reason
        document = {"campaign": campaign, "status": status, "stands": first, "reason": reason}
        print_json(
            {
                **document,
                "waiting": waiting,
                "refused_updates": refused,
                "registries": registries,
                "decisions": records,
            }
        )
        return
    for line in filter(None, [first, *registries, *notices(refused), describe(waiting), *lines]):
        echo(line)


async def _read(
    client: Redis, keys: Keys, campaign: str, last: int
) -> tuple[
    tuple[str | None, str], list[TickResult], list[Waiting], RefusedUpdates | None, list[str], str, int
]:
    """Its status and why it paused itself, its newest decisions, what its contacts, registries and Redis wait for, the
    time.
    """
    from streamdialer.broker.connection import server_ms, why_writes_are_refused
    from streamdialer.operations.decisions import decisions
    from streamdialer.operations.refused_updates import refused_updates_of
    from streamdialer.operations.registry_ages import registry_warnings_of
    from streamdialer.operations.waiting_contacts import waiting_for

    public: Any = await client.hmget(keys.campaign(campaign), ["status", "auto_paused"])
    records, now_ms = await decisions(client, keys, campaign, last), await server_ms(client)
    waiting = await waiting_for(client, keys, campaign, now_ms)
    refused, refusal = (
        await refused_updates_of(client, keys, campaign, now_ms),
        await why_writes_are_refused(client, keys),
    )
    registries = await registry_warnings_of(client, keys, campaign, now_ms)
    return (public[0], public[1] or ""), records, waiting, refused, registries, refusal, now_ms
