"""`inspect`: what the replicas do, what this version handles, and what is in the streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_fields,
    print_json,
    print_rows,
    with_redis,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streamdialer.broker.heartbeat import KnownProcess
    from streamdialer.broker.keys import Keys

commands = typer.Typer(
    name="inspect",
    no_args_is_help=True,
    help="Show replicas, handlers, streams and pending entries; changes nothing.",
    epilog="Example: streamdialer inspect streams",
)


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in a handler, by its replica's last heartbeat."""

    replica: str
    stage: str
    entry: str
    subject: str
    """What it is about: a campaign, `campaign:contact`, or an attempt id."""
    for_s: float
    """From the start of the handler to the heartbeat."""


@commands.command(epilog="Example: streamdialer inspect active")
def active(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what each replica is doing now: the oldest entries in progress of each stage."""
    processes = with_redis(load_settings(ctx), _replicas)
    entries = [
        Active(replica=process.name, stage=name, entry=each.entry, subject=each.subject, for_s=each.for_s)
        for process in processes
        for name, stage in process.state.stages.items()
        for each in stage.doing
    ]
    columns = ["replica", "stage", "entry", "subject", "#for s"]
    rows = [(each.replica, each.stage, each.entry, each.subject, f"{each.for_s:.1f}") for each in entries]
    print_rows(entries, columns, rows, as_json=as_json)
    if not as_json:
        total = sum(stage.in_progress for process in processes for stage in process.state.stages.values())
        echo(f"{len(entries)} of {total} entries in progress, {len(processes)} processes")


@commands.command(epilog="Example: streamdialer inspect stats --json")
def stats(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show each process: memory, uptime, last heartbeat, entries handled since its start and per second."""
    processes = with_redis(load_settings(ctx), _replicas)
    columns = ["process", "role", "version", "host", "#pid", "#up s", "#MB", "#heartbeat s", "stage"]
    columns += ["#in progress", "#done", "#dead", "#retried", "#per s"]
    rows: list[tuple[object, ...]] = []
    for process in processes:
        state = process.state
        about: tuple[object, ...] = (process.name, state.role, state.version, state.host, state.pid)
        about += (f"{state.uptime_s:.0f}", f"{state.rss_bytes / 1e6:.1f}", f"{process.last_seen_s:.1f}")
        if not state.stages:
            rows.append((*about, *[""] * 6))
        for name, stage in state.stages.items():
            counts = (stage.in_progress, stage.done, stage.dead, stage.again, f"{stage.per_s:.1f}")
            rows.append((*about, name, *counts))
            about = ("",) * len(about)
    print_rows(processes, columns, rows, as_json=as_json)


@commands.command(epilog="Example: streamdialer inspect consumers")
def consumers(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the consumers of each stream, the entries they hold, and the seconds since they last asked for any."""
    from streamdialer.operations.streams import stream_states

    states = with_redis(load_settings(ctx), stream_states)
    rows = [
        (state.stream, consumer.name, consumer.pending, f"{consumer.idle_s:.1f}")
        for state in states
        for consumer in state.consumers
    ]
    document = {state.stream: state.consumers for state in states}
    print_rows(document, ["stream", "consumer", "#pending", "#idle s"], rows, as_json=as_json)


@commands.command(epilog="Example: streamdialer inspect registered --json")
def registered(as_json: AsJson = False) -> None:
    """List the stages and their handlers, the event types and the kinds of ticks."""
    from streamdialer.operations import handlers as operations

    handlers = operations.registered()
    if as_json:
        print_json(handlers)
        return
    print_fields((f"stage {stage}", handler) for stage, handler in handlers.stages.items())
    print_fields([("events", ", ".join(handlers.events)), ("ticks", ", ".join(handlers.ticks))])


@commands.command(epilog="Example: streamdialer inspect streams")
def streams(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show each stream's length, groups, consumers, lag, pending entries and the age of the oldest.

    Groups of other programs follow their stream, a line each.
    """
    from streamdialer.operations.streams import stream_states

    states = with_redis(load_settings(ctx), stream_states)
    columns = ["stream", "#length", "#groups", "#consumers", "#lag", "#pending", "#oldest pending s"]
    rows: list[tuple[object, ...]] = []
    for state in states:
        oldest = None if state.oldest_pending_s is None else f"{state.oldest_pending_s:.1f}"
        about = (state.stream, state.length, state.groups)
        rows.append((*about, len(state.consumers), state.lag, state.pending, oldest))
        rows += [
            (f"  {group.name}", None, None, group.consumers, group.lag, group.pending, None)
            for group in state.other_groups
        ]
    print_rows(states, columns, rows, as_json=as_json)


@commands.command(epilog="Example: streamdialer inspect pending --count 20")
def pending(
    ctx: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="How many to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the entries that consumers hold, oldest first in each stream."""
    from streamdialer.operations.streams import pending_entries

    entries = with_redis(load_settings(ctx), pending_entries, count)
    columns = ["stream", "id", "consumer", "#idle s", "#deliveries"]
    rows = [(each.stream, each.id, each.consumer, f"{each.idle_s:.1f}", each.deliveries) for each in entries]
    print_rows(entries, columns, rows, as_json=as_json)
    if len(entries) == count and not as_json:
        echo(f"the first {count}; there may be more (--count)")


async def _replicas(client: Redis, keys: Keys) -> list[KnownProcess]:
    from streamdialer.broker.connection import server_ms
    from streamdialer.broker.heartbeat import replicas

    return await replicas(client, keys, await server_ms(client))
