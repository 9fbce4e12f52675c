"""`run` and `result`: one tick at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import anyio
import msgspec
import typer

from streamdialer.cli.common import AsJson, echo, load_settings, print_fields, print_json
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.model import TICK_KINDS, TickKind, TickResult
from streamdialer.observability.logs import set_up_logging
from streamdialer.operations.campaigns import read_campaign_id
from streamdialer.operations.decisions import describe
from streamdialer.operations.session import open_client
from streamdialer.operations.ticks import read_kind, run_inline, stored_result
from streamdialer.producers.events import Producer


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command(epilog="Example: streamdialer run dial 1 --wait 10")(run)
    app.command(epilog="Example: streamdialer result 1732424242000-0")(result)


def run(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help=", ".join(TICK_KINDS) + ".")],
    campaign: Annotated[str, typer.Argument(help="The campaign's id.")],
    wait: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait for the result and print it.")
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Do it in this process, past the stream; print the result.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run one campaign once: adds a tick and prints its id."""
    tick_kind, campaign_id = read_kind(kind), read_campaign_id(campaign)
    if inline and wait is not None:
        raise SettingsError("--inline and --wait: both given, takes one of them")
    settings = load_settings(ctx)
    if inline:
        set_up_logging(settings.log_level, settings.log_format)
        show_result(anyio.run(run_inline, settings, tick_kind, campaign_id), as_json=as_json)
        return
    tick_id, found = anyio.run(_run, settings, tick_kind, campaign_id, wait)
    if wait is None:
        if as_json:
            print_json({"tick_id": tick_id})
        else:
            echo(tick_id)
    elif found is None:
        raise CannotBeDone(
            f"tick {tick_id} has no result after {wait:g} s; is a replica running? "
            f"`streamdialer result {tick_id}` shows it later"
        )
    else:
        show_result(found, as_json=as_json)


def result(
    ctx: typer.Context,
    tick_id: Annotated[str, typer.Argument(help="What `run` printed.")],
    as_json: AsJson = False,
) -> None:
    """Show the stored result of a tick (kept an hour)."""
    show_result(anyio.run(_result, load_settings(ctx), tick_id), as_json=as_json, judge=False)


def show_result(found: TickResult, *, as_json: bool, judge: bool = True) -> None:
    """Prints it; ends with exit code 1 when the tick failed and `judge`."""
    if as_json:
        print_json(found)
    else:
        if found.kind == "dial":
            echo(describe(found))
        fields: dict[str, object] = msgspec.to_builtins(found)
        print_fields((name.replace("_", " "), _shown(name, value)) for name, value in fields.items())
    if judge and found.status == "error":
        raise typer.Exit(1)


def _shown(name: str, value: object) -> object:
    if name == "at" and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


async def _run(
    settings: Settings, kind: TickKind, campaign: str, wait_s: float | None
) -> tuple[str, TickResult | None]:
    async with open_client(settings), Producer.from_url(settings.redis_url) as producer:
        tick_id = await producer.tick(kind, campaign)
        return tick_id, None if wait_s is None else await producer.result(tick_id, timeout=wait_s)


async def _result(settings: Settings, tick_id: str) -> TickResult:
    async with open_client(settings) as (client, keys):
        return await stored_result(client, keys, tick_id)
