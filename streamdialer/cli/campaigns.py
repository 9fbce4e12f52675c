"""`campaign`: lists campaigns and sets their status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from streamdialer.cli.campaign_create import create
from streamdialer.cli.common import (
    AsJson,
    load_settings,
    print_fields,
    print_json,
    print_rows,
    print_text,
    with_redis,
)
from streamdialer.model import has_agents, wire_id

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streamdialer.broker.keys import Keys
    from streamdialer.operations.campaigns import CampaignCommand, CampaignDetail, CampaignRow

MAX_UNCERTAIN: Final = 5
CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
HangUp = Annotated[bool, typer.Option("--hang-up", help="Also end the calls that still ring.")]
commands = typer.Typer(
    name="campaign",
    no_args_is_help=True,
    help="List, show, create, start, pause or stop campaigns, or remove the keys of a finished one.",
    epilog="Example: streamdialer campaign list",
)
commands.command(epilog="Example: streamdialer campaign create --name Spring --queue sales --hours 9-18")(
    create
)


@commands.command("list", epilog="Example: streamdialer campaign list --json")
def list_campaigns(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All campaigns that Redis knows."""
    from streamdialer.operations.campaigns import TOTALS

    rows = with_redis(load_settings(ctx), _rows)
    columns = ["campaign", "status", "queue", "#ready", "#deferred", "#live", "#connected"]
    columns += [f"#{name.removesuffix('_calls').replace('_', ' ')}" for name in TOTALS]
    cells = [
        (
            *(row.campaign_id, row.status, _queue_of(row), row.ready, row.deferred),
            *(row.live_calls, row.connected_calls, *row.totals.values()),
        )
        for row in rows
    ]
    print_rows(rows, columns, cells, as_json=as_json)


def _queue_of(row: CampaignRow) -> str:
    """For people: an agentless campaign has none."""
    return row.queue if has_agents(row.queue) else ""


@commands.command(epilog="Example: streamdialer campaign show 1")
def show(ctx: typer.Context, campaign: CampaignId, as_json: AsJson = False) -> None:
    """One campaign: contacts, calls, agents, totals, the last decision."""
    from streamdialer.operations.campaigns import campaign_detail, read_campaign_id

    detail = with_redis(load_settings(ctx), campaign_detail, read_campaign_id(campaign))
    if as_json:
        print_json(detail)
        return
    row = detail.campaign
    print_fields(
        [
            ("campaign", row.campaign_id),
            ("status", f"{row.status} (by itself: {row.auto_paused})" if row.auto_paused else row.status),
            ("started at", detail.public.get("started_at", "")),
            ("queue", _queue_of(row)),
            ("agents", f"{detail.agents_free} free, {detail.agents_busy} busy" if _queue_of(row) else ""),
            (
                "contacts",
                f"{row.ready} ready, {row.deferred} deferred, {row.previewing} previewing, "
                f"{row.reserved} reserved",
            ),
            ("calls", f"{row.active_calls} active, {row.connected_calls} connected"),
            ("uncertain", _uncertain(detail)),
            ("totals", ", ".join(f"{name} {count}" for name, count in row.totals.items())),
            ("last decision", _describe(detail)),
        ]
    )


@commands.command(epilog="Example: streamdialer campaign start 1")
def start(ctx: typer.Context, campaign: CampaignId, as_json: AsJson = False) -> None:
    """Set its status to active: dialing begins."""
    _command(ctx, campaign, "start", as_json=as_json)


@commands.command(epilog="Example: streamdialer campaign pause 1 --hang-up")
def pause(ctx: typer.Context, campaign: CampaignId, hang_up: HangUp = False, as_json: AsJson = False) -> None:
    """Set its status to paused: no new calls; live calls go on."""
    _command(ctx, campaign, "pause", hang_up=hang_up, as_json=as_json)


@commands.command(epilog="Example: streamdialer campaign stop 1")
def stop(ctx: typer.Context, campaign: CampaignId, hang_up: HangUp = False, as_json: AsJson = False) -> None:
    """Set its status to cancelled: no new calls any more; live calls go on."""
    _command(ctx, campaign, "stop", hang_up=hang_up, as_json=as_json)


@commands.command(epilog="Example: streamdialer campaign cleanup 1")
def cleanup(ctx: typer.Context, campaign: CampaignId, as_json: AsJson = False) -> None:
    """Remove the keys of a finished campaign. Refused while calls are live."""
    from streamdialer.operations.campaigns import clean_up_campaign, read_campaign_id

    campaign_id, settings = read_campaign_id(campaign), load_settings(ctx)
    with_redis(settings, clean_up_campaign, settings, campaign_id)
    done = {"campaign_id": wire_id(campaign_id), "removed": True}
    print_text(done, f"campaign {done['campaign_id']}: removed", as_json=as_json)


def _command(
    ctx: typer.Context, campaign: str, command: CampaignCommand, *, hang_up: bool = False, as_json: bool
) -> None:
    from streamdialer.operations.campaigns import hang_up_ringing, read_campaign_id, set_campaign_status

    campaign_id, settings = read_campaign_id(campaign), load_settings(ctx)
    status = with_redis(settings, set_campaign_status, campaign_id, command)
    done = {"campaign_id": wire_id(campaign_id), "status": status}
    text = f"campaign {done['campaign_id']}: {status}"
    if hang_up:
        done["hung_up"] = count = with_redis(settings, hang_up_ringing, settings, campaign_id)
        text += f"; {count} ringing calls are to be hung up"
    print_text(done, text, as_json=as_json)


def _uncertain(detail: CampaignDetail) -> str:
    """How many, and the first of them with the time until their deadline."""
    if not detail.uncertain:
        return "0"
    first = ", ".join(
        f"{each.attempt} ({each.why}, {each.seconds_left:.0f} s left)"
        for each in detail.uncertain[:MAX_UNCERTAIN]
    )
    more = len(detail.uncertain) - MAX_UNCERTAIN
    return f"{len(detail.uncertain)}: {first}" + (f" and {more} more" if more > 0 else "")


def _describe(detail: CampaignDetail) -> str:
    decision = detail.last_decision
    if decision is None:
        return "none yet"
    fields = msgspec.to_builtins(decision)
    parts = [f"{name} {fields[name]}" for name in ("dialed", "wanted", "limit") if name in fields]
    parts.append(decision.detail or decision.reason or "")
    return ": ".join(filter(None, [decision.status, ", ".join(filter(None, parts))]))


async def _rows(client: Redis, keys: Keys) -> list[CampaignRow]:
    from streamdialer.operations.campaigns import campaign_rows, campaigns_known

    return await campaign_rows(client, keys, await campaigns_known(client, keys))
