"""`run` and `result`: one tick at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_fields,
    print_json,
    print_text,
    run_async,
    with_redis,
)
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.model import TICK_KINDS, TickKind, TickResult

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

commands = typer.Typer()


@commands.command(epilog="Example: streamdialer run dial 1 --wait 10")
def run(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(TICK_KINDS) + ".")],
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    wait: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait for the result and print it.")
    ] = None,
    inline: Annotated[
        bool,
        typer.Option("--inline", help="Run it in this process, without the stream, and print the result."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a tick for a campaign and print the tick's id."""
    from streamdialer.operations.campaigns import read_campaign_id
    from streamdialer.operations.ticks import read_kind

    tick_kind, campaign_id = read_kind(kind), read_campaign_id(campaign)
    if inline and wait is not None:
        raise SettingsError("--inline and --wait: use only one of them")
    settings = load_settings(ctx)
    if inline:
        from streamdialer.observability.logs import set_up_logging
        from streamdialer.operations.inline_tick import run_inline

        set_up_logging(settings.log_level, settings.log_format)
        _show_result(run_async(run_inline, settings, tick_kind, campaign_id), as_json=as_json)
        return
    tick_id, outcome = run_async(_run, settings, tick_kind, campaign_id, wait)
    if wait is None:
        print_text({"tick_id": tick_id}, tick_id, as_json=as_json)
    elif outcome is None:
        raise CannotBeDone(
            f"tick {tick_id} has no result after {wait:g} s. Does `streamdialer consume` run? "
            f"`streamdialer result {tick_id}` shows the result later"
        )
    else:
        _show_result(outcome, as_json=as_json)


@commands.command(epilog="Example: streamdialer result 1732424242000-0")
def result(
    ctx: typer.Context,
    tick_id: Annotated[str, typer.Argument(metavar="TICK_ID", help="The id that `run` printed.")],
    as_json: AsJson = False,
) -> None:
    """Show the result of a tick, which is kept for an hour."""
    from streamdialer.operations.ticks import stored_result

    _show_result(with_redis(load_settings(ctx), stored_result, tick_id), as_json=as_json, fail=False)


def _show_result(outcome: TickResult, *, as_json: bool, fail: bool = True) -> None:
    """Prints it; with `fail`, exits with 1 when the tick failed."""
    if as_json:
        print_json(outcome)
    else:
        if outcome.kind == "dial":
            from streamdialer.operations.decisions import describe

            echo(describe(outcome))
        fields: dict[str, object] = msgspec.to_builtins(outcome)
        print_fields((name.replace("_", " "), _value_text(name, value)) for name, value in fields.items())
    if fail and outcome.status == "error":
        raise typer.Exit(1)


def _value_text(name: str, value: object) -> object:
    if name == "at" and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


async def _run(
    settings: Settings, kind: TickKind, campaign: str, wait_s: float | None
) -> tuple[str, TickResult | None]:
    from streamdialer.operations.session import open_client
    from streamdialer.producers.events import Producer

    async with open_client(settings), Producer.from_url(settings.redis_url, settings.namespace) as producer:
        tick_id = await producer.tick(kind, campaign)
        return tick_id, None if wait_s is None else await producer.result(tick_id, timeout=wait_s)
