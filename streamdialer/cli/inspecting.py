"""`inspect`: what this version handles, and what is in the streams."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from streamdialer.cli.common import AsJson, load_settings, print_fields, print_json, print_table, say
from streamdialer.config import Settings
from streamdialer.inspection import PendingEntry, StreamState, pending_entries, stream_states
from streamdialer.inspection import registered as what_is_registered
from streamdialer.operations import reached

commands = typer.Typer(
    no_args_is_help=True,
    help="Look at handlers, streams and pending entries; changes nothing.",
    epilog="Example: streamdialer inspect streams",
)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.add_typer(commands, name="inspect")


@commands.command(epilog="Example: streamdialer inspect registered --json")
def registered(as_json: AsJson = False) -> None:
    """Stages and their handlers, event types, tick kinds."""
    found = what_is_registered()
    if as_json:
        print_json(found)
        return
    print_fields((f"stage {stage}", handler) for stage, handler in found.stages.items())
    print_fields([("events", ", ".join(found.events)), ("ticks", ", ".join(found.ticks))])


@commands.command(epilog="Example: streamdialer inspect streams")
def streams(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Length, groups, consumers, lag, pending entries and the age of the oldest."""
    states = anyio.run(_streams, load_settings(ctx))
    if as_json:
        print_json(states)
        return
    print_table(
        ["stream", "#length", "#groups", "#consumers", "#lag", "#pending", "#oldest pending s"],
        [
            (
                state.stream,
                state.length,
                state.groups,
                len(state.consumers),
                state.lag,
                state.pending,
                None if state.oldest_pending_s is None else f"{state.oldest_pending_s:.1f}",
            )
            for state in states
        ],
    )


@commands.command(epilog="Example: streamdialer inspect pending --count 20")
def pending(
    ctx: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Entries that consumers hold, the oldest of each stream first."""
    entries = anyio.run(_pending, load_settings(ctx), count)
    if as_json:
        print_json(entries)
        return
    print_table(
        ["stream", "id", "consumer", "#idle s", "#deliveries"],
        [(each.stream, each.id, each.consumer, f"{each.idle_s:.1f}", each.deliveries) for each in entries],
    )
    if len(entries) == count:
        say(f"the first {count}; there may be more (--count)")


async def _streams(settings: Settings) -> list[StreamState]:
    async with reached(settings) as (client, keys):
        return await stream_states(client, keys)


async def _pending(settings: Settings, count: int) -> list[PendingEntry]:
    async with reached(settings) as (client, keys):
        return await pending_entries(client, keys, count)
