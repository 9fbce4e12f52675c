"""`emit`: adds events from the command line or from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamdialer.cli.common import AsJson, load_settings, print_text, progress, run_async
from streamdialer.errors import SettingsError, Unreachable

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

BATCH: Final = 500

commands = typer.Typer()


@commands.command(
    epilog="Example: streamdialer emit call_answered campaign_id=1 contact_id=123 call_id=abc123"
)
def emit(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="TYPE", help="The event's type.")] = None,
    pairs: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="The event's data.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="The event's data as a JSON object.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="F.ndjson", help="A file with one JSON event per line; - is standard input."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add events to the stream. If a line of a file is invalid, none of its events is added."""
    from streamdialer.operations.event_input import checked_event, read_object, read_pairs

    if (kind is None) == (file is None) or (file is not None and data is not None):
        raise SettingsError("emit: needs TYPE with key=value… or --data, or --file alone")
    if data is not None and pairs:
        raise SettingsError("emit: needs key=value… or --data, not both")
    settings = load_settings(ctx)
    if file is not None:
        events = _read_file(file)
    else:
        events = [checked_event(kind, read_object(data) if data is not None else read_pairs(pairs or []))]
    ids = run_async(_add, settings, events)
    text = f"{len(ids)} events added" if file is not None else ids[0]
    print_text({"added": len(ids), "ids": ids}, text, as_json=as_json)


def _read_file(name: str) -> list[dict[str, Any]]:
    from streamdialer.operations.event_input import read_event_lines

    if name == "-":
        return read_event_lines(sys.stdin.buffer)
    try:
        with Path(name).open("rb") as lines:
            return read_event_lines(lines)
    except OSError as error:
        raise SettingsError(f"--file {name}: {error.strerror or error}") from error


async def _add(settings: Settings, events: list[dict[str, Any]]) -> list[str]:
    from streamdialer.operations.session import open_client
    from streamdialer.producers.events import Producer

    ids: list[str] = []
    async with open_client(settings), Producer.from_url(settings.redis_url, settings.namespace) as producer:
        with progress("adding events", len(events)) as report:
            for at in range(0, len(events), BATCH):
                try:
                    ids += await producer.events(events[at : at + BATCH])
                except Unreachable as error:
                    raise Unreachable(
                        f"{error}; at least {at} of {len(events)} events were added (it is safe to add them again)"
                    ) from error
                report(len(ids))
    return ids
