"""`contact import`: a file of contacts into the backend."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from streamdialer.cli.bad_lines import MAX_BAD_LINES, bad_line_writer
from streamdialer.cli.common import AsJson, echo, print_fields, print_json, progress, run_async
from streamdialer.errors import CannotBeDone, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamdialer.config.settings import Settings
    from streamdialer.operations.contact_preview import Preview
    from streamdialer.operations.list_file.contacts import FileReader
    from streamdialer.operations.list_file.sheet import Sheet
    from streamdialer.operations.list_file.text import BadLine


class Told(msgspec.Struct):
    """What is said of the file while it is read."""

    on_bad_line: Callable[[BadLine], None]
    on_progress: Callable[[int], None]
    as_json: bool


def import_file(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV, TSV, XLSX, XML or NDJSON; also in a zip or gzip file."),
    ],
    campaign: Annotated[str, typer.Option(help="The campaign's id.")],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN", help="A column by its heading or number, such as phone=3."
        ),
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="Country of numbers without +, such as CO; overrides the campaign's.")
    ] = None,
    bad: Annotated[
        Path | None, typer.Option(help="Write every line without a number to this CSV file.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show who would be called, who not and why; add nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add the contacts of a file to a campaign; a second import adds nothing. Exit code 0 with bad lines too.

    The column of the numbers is the one whose values are telephone numbers. Columns that are no field of a contact
    become custom_data, which agents and the dialplan get.
    """
    from streamdialer.config.loading import load
    from streamdialer.operations.campaigns import read_campaign_id

    mapped = dict(_split(each) for each in columns or [])
    campaign, settings = read_campaign_id(campaign), load(ctx.obj).settings
    first_bad: list[BadLine] = []
    with ExitStack() as stack:
        try:
            source = stack.enter_context(file.open("rb"))
            write_bad_line = stack.enter_context(bad_line_writer(bad))
        except OSError as error:
            raise SettingsError(f"{error.filename or file}: {error.strerror or error}") from error

        def on_bad_line(line: BadLine) -> None:
            write_bad_line(line)
            if len(first_bad) < MAX_BAD_LINES:
                first_bad.append(line)

        from streamdialer.operations.list_file.sheet import open_sheet

        sheet = stack.enter_context(open_sheet(source))
        report = stack.enter_context(progress("reading contacts", sheet.size or None))
        told = Told(on_bad_line, lambda lines: report(sheet.position(lines)), as_json)
        document = run_async(_run, settings, campaign, sheet, file.name, mapped, country, told, dry_run)
    if as_json:
        print_json({**document, "first_bad": first_bad})
        return
    print_fields(
        [(name.replace("_", " "), _shown(value)) for name, value in document.items() if name != "columns"]
    )
    for line in first_bad:
        echo(f"line {line.line}: {line.problem}: {line.text}")
    if bad and first_bad:
        echo(f"all bad lines are in {bad}")
    elif more := int(document["bad"]) - len(first_bad):
        echo(f"{more} more (--bad FILE writes all bad lines to a file)")


def _split(text: str) -> tuple[str, str]:
    from streamdialer.operations.list_file.columns import PHONES
    from streamdialer.operations.list_file.headings import FIELDS

    field, equals, column = text.partition("=")
    if not equals or field not in (*PHONES, *FIELDS):
        raise SettingsError(
            f"--map: got {text!r}, takes FIELD=COLUMN with one of {', '.join((*PHONES, *FIELDS))}"
        )
    return field, column


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or 0
    return value


async def _run(
    settings: Settings,
    campaign: str,
    sheet: Sheet,
    name: str,
    mapped: dict[str, str],
    country: str | None,
    told: Told,
    dry_run: bool,
) -> dict[str, Any]:
    from streamdialer.gateways.own_backend import OwnBackend
    from streamdialer.operations.contact_import import import_contacts
    from streamdialer.operations.list_file.columns import find_columns
    from streamdialer.operations.list_file.contacts import FileReader

    async with OwnBackend(settings) as backend:
        of_campaign = await backend.campaign(campaign)
        country = country or of_campaign.country or settings.country
        found = find_columns(sheet, country, mapped)
        described = found.described(sheet.headings)
        if not told.as_json:
            kind = (sheet.kind, sheet.separator.strip(), sheet.encoding)
            echo(f"{name}: {', '.join(filter(None, kind))}; numbers of {country or 'no known country'}")
            print_fields([(f"  {heading}", meaning) for heading, meaning in described])
        reader = FileReader(found, country)
        outcome: object
        if dry_run:
            outcome = await _preview(settings, campaign, sheet, reader, told, "consent" in found.fields)
        else:
            outcome = await import_contacts(
                backend,
                campaign,
                name,
                sheet,
                reader,
                on_bad_line=told.on_bad_line,
                on_progress=told.on_progress,
            )
    return {**msgspec.to_builtins(outcome), "columns": dict(described)}


async def _preview(
    settings: Settings, campaign: str, sheet: Sheet, reader: FileReader, told: Told, has_consent: bool
) -> Preview:
    from streamdialer.broker.scripts import Scripts
    from streamdialer.config.loading import require_redis
    from streamdialer.ledger.suppression import DncLedger
    from streamdialer.operations.contact_preview import Previewer
    from streamdialer.operations.eligibility import fetch_calling_hours
    from streamdialer.operations.session import open_client

    require_redis(settings)  # the do-not-call list is there
    hours = await fetch_calling_hours(settings, campaign)
    if isinstance(hours, str):
        raise CannotBeDone(hours)
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        dnc = DncLedger(scripts, keys)
        previewer = Previewer(dnc, hours, reader.country, now_ms, has_consent=has_consent)
        return await previewer.read(sheet, reader, on_bad_line=told.on_bad_line, on_progress=told.on_progress)
