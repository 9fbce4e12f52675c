"""`inspect`: who works, on what; what this version handles, and what is in the streams."""

from __future__ import annotations

from typing import Annotated

import anyio
import msgspec
import typer

from streamdialer.broker.connection import server_ms
from streamdialer.broker.heartbeat import Replica, replicas
from streamdialer.cli.common import AsJson, echo, load_settings, print_fields, print_json, print_table
from streamdialer.config.settings import Settings
from streamdialer.operations.session import open_client
from streamdialer.operations.streams import PendingEntry, StreamState, pending_entries, stream_states
from streamdialer.operations.streams import registered as what_is_registered

commands = typer.Typer(
    no_args_is_help=True,
    help="Look at replicas, handlers, streams and pending entries; changes nothing.",
    epilog="Example: streamdialer inspect streams",
)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.add_typer(commands, name="inspect")


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in a handler, as its replica said a moment ago."""

    replica: str
    stage: str
    entry: str
    subject: str
    """What it is about: a campaign, `campaign:contact`, or an attempt id."""
    for_s: float
    """Since the handler began; not counting the time since the heartbeat."""


@commands.command(epilog="Example: streamdialer inspect active")
def active(ctx: typer.Context, as_json: AsJson = False) -> None:
    """What each replica is doing now: of each stage the entries begun longest ago."""
    found = anyio.run(_replicas, load_settings(ctx))
    doing = [
        Active(replica=one.name, stage=name, entry=each.entry, subject=each.subject, for_s=each.for_s)
        for one in found
        for name, stage in one.state.stages.items()
        for each in stage.doing
    ]
    if as_json:
        print_json(doing)
        return
    print_table(
        ["replica", "stage", "entry", "about", "#for s"],
        [(each.replica, each.stage, each.entry, each.subject, f"{each.for_s:.1f}") for each in doing],
    )
    in_hand = sum(stage.in_progress for one in found for stage in one.state.stages.values())
    echo(f"{len(doing)} of {in_hand} entries in hand, {len(found)} processes")


@commands.command(epilog="Example: streamdialer inspect stats --json")
def stats(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Each process: memory, uptime, last heartbeat; entries it has handled since it started, and how fast."""
    found = anyio.run(_replicas, load_settings(ctx))
    if as_json:
        print_json(found)
        return
    columns = ["process", "role", "host", "#pid", "#up s", "#MB", "#heard s", "stage"]
    columns += ["#in hand", "#done", "#dead", "#again", "#per s"]
    rows: list[tuple[object, ...]] = []
    for one in found:
        state = one.state
        first: tuple[object, ...] = (one.name, state.role, state.host, state.pid)
        first += (f"{state.uptime_s:.0f}", f"{state.rss_bytes / 1e6:.1f}", f"{one.last_seen_s:.1f}")
        for number, (name, stage) in enumerate(state.stages.items() or [("", None)]):
            about = first if number == 0 else ("",) * len(first)
            counts = (
                ("",) * 5
                if stage is None
                else (stage.in_progress, stage.done, stage.dead, stage.again, f"{stage.per_s:.1f}")
            )
            rows.append((*about, name, *counts))
    print_table(columns, rows)


@commands.command(epilog="Example: streamdialer inspect consumers")
def consumers(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Consumers of each stream: entries they hold, and since when they have not asked for any."""
    states = anyio.run(_streams, load_settings(ctx))
    if as_json:
        print_json({state.stream: state.consumers for state in states})
        return
    print_table(
        ["stream", "consumer", "#pending", "#idle s"],
        [
            (state.stream, one.name, one.pending, f"{one.idle_s:.1f}")
            for state in states
            for one in state.consumers
        ],
    )


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
        echo(f"the first {count}; there may be more (--count)")


async def _replicas(settings: Settings) -> list[Replica]:
    async with open_client(settings) as (client, keys):
        return await replicas(client, keys, await server_ms(client))


async def _streams(settings: Settings) -> list[StreamState]:
    async with open_client(settings) as (client, keys):
        return await stream_states(client, keys)


async def _pending(settings: Settings, count: int) -> list[PendingEntry]:
    async with open_client(settings) as (client, keys):
        return await pending_entries(client, keys, count)
