"""`contact export`: the contacts of a campaign and how they ended, or every attempt."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from streamdialer.cli.common import AsJson, echo, print_json, progress, run_async
from streamdialer.cli.csv_cells import harmless

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings

OUTCOME: Final = (
    *("attempt_id", "phone_number", "call_id", "agent_id", "disposition", "cause", "sent_at", "answered_at"),
    *("ended_at", "duration", "attempt", "next_at", "final"),
)
ATTEMPT_COLUMNS: Final = ("campaign_id", "contact_id", *OUTCOME)
CONTACT_COLUMNS: Final = (
    *("id", "campaign_id", "phone_number", "phone_2", "phone_3", "status", "attempts", "last_attempt"),
    *("priority", "timezone", "region", "do_not_call", "consent", "subject", "caller_id", "custom_data"),
    *("created_at", "updated_at"),
)


def export(
    ctx: typer.Context,
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.")],
    kind: Annotated[
        Literal["csv", "ndjson"], typer.Option("--format", help="csv, or ndjson: one JSON object a line.")
    ] = "csv",
    outcomes: Annotated[bool, typer.Option("--outcomes", help="Every attempt, not the contacts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the contacts of a campaign with their state and last outcome, or with --outcomes every attempt.

    They come from `streamdialer backend`; numbers are in full. In CSV, an apostrophe stands before a text that a
    spreadsheet would take for a formula.
    """
    from streamdialer.config.loading import load
    from streamdialer.operations.campaigns import read_campaign_id

    columns = ATTEMPT_COLUMNS if outcomes else (*CONTACT_COLUMNS, *(f"outcome_{name}" for name in OUTCOME))
    settings = load(ctx.obj).settings
    is_csv = kind == "csv" and not as_json
    with progress("exporting", None) as report:
        run_async(_export, settings, read_campaign_id(campaign), columns, outcomes, is_csv, report)


async def _export(
    settings: Settings, campaign: str, columns: tuple[str, ...], outcomes: bool, is_csv: bool, report: Any
) -> None:
    from streamdialer.gateways.own_backend import OwnBackend

    done = 0
    async with OwnBackend(settings) as backend:
        await backend.campaign(campaign)  # one that does not exist is an error
        if is_csv:
            _print_csv([columns])
        async for rows in backend.attempt_rows(campaign) if outcomes else backend.contact_rows(campaign):
            if is_csv:
                _print_csv(_cells(row, columns) for row in rows)
            else:
                for row in rows:
                    print_json(row)
            done += len(rows)
            report(done)


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    outcome = row.get("last_outcome") or {}
    flat = row | {f"outcome_{name}": value for name, value in outcome.items()}
    return harmless(_cell(flat.get(column)) for column in columns)


def _print_csv(rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if sys.stdout.isatty():  # no text of a contact reaches a terminal raw
        for line in text.getvalue().splitlines():
            echo(line)
    else:
        typer.echo(text.getvalue(), nl=False)


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value).lower() if isinstance(value, bool) else value
