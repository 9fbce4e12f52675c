"""`dnc`: the do-not-call list, numbers that no campaign calls."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamdialer.cli.bad_lines import MAX_BAD_LINES, bad_line_writer
from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_json,
    print_rows,
    print_text,
    progress,
    run_async,
)
from streamdialer.errors import CannotBeDone, SettingsError

if TYPE_CHECKING:
    from streamdialer.config.settings import Settings
    from streamdialer.ledger.suppression import DncLedger
    from streamdialer.operations.dnc_import import ImportResult, Query
    from streamdialer.operations.list_file.sheet import Sheet
    from streamdialer.operations.list_file.text import BadLine
    from streamdialer.rules.numbers import Number

Numbers = Annotated[
    list[str], typer.Argument(metavar="NUMBER…", help="With +, or as people write it in --country.")
]
Country = Annotated[
    str | None, typer.Option(help="Country of numbers without +, such as CO; overrides STREAMDIALER_COUNTRY.")
]
commands = typer.Typer(
    name="dnc",
    no_args_is_help=True,
    help="The do-not-call list: numbers that no campaign calls.",
    epilog="Example: streamdialer dnc add +573001234567",
)


class NumberStatus(msgspec.Struct, frozen=True):
    number: str
    listed: bool
    since_s: int | None = None
    why: str | None = None


@commands.command(epilog='Example: streamdialer dnc add +573001234567 --reason "asked on the phone"')
def add(
    ctx: typer.Context,
    numbers: Numbers,
    reason: Annotated[str, typer.Option(help="Saved with the number.")] = "",
    country: Country = None,
    as_json: AsJson = False,
) -> None:
    """Stop all campaigns from calling these numbers; live calls go on."""
    settings, selected = _read_numbers(ctx, numbers, country)
    why = f"by hand {reason}".strip()
    statuses = run_async(_look_up, settings, selected, lambda dnc: dnc.suppress(selected, why))
    _print_statuses(statuses, as_json=as_json)


@commands.command(epilog="Example: streamdialer dnc remove +573001234567")
def remove(ctx: typer.Context, numbers: Numbers, country: Country = None, as_json: AsJson = False) -> None:
    """Allow calls to these numbers for contacts loaded from now on; final contacts stay final."""
    settings, selected = _read_numbers(ctx, numbers, country)
    statuses = run_async(_look_up, settings, selected, lambda dnc: dnc.remove(selected))
    _print_statuses(statuses, as_json=as_json)


@commands.command(epilog="Example: streamdialer dnc check +573001234567 --json")
def check(ctx: typer.Context, numbers: Numbers, country: Country = None, as_json: AsJson = False) -> None:
    """Show whether these numbers are on the list, since when and why."""
    settings, selected = _read_numbers(ctx, numbers, country)
    _print_statuses(run_async(_look_up, settings, selected), as_json=as_json)


@commands.command("list", epilog="Example: streamdialer dnc list --json > numbers.ndjson")
def list_numbers(
    ctx: typer.Context,
    sources: Annotated[
        bool, typer.Option("--sources", help="List the registries instead: when each was last asked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the whole list, in no order, one per line: number, since when, why."""
    run_async(_list_sources if sources else _list, load_settings(ctx), as_json)


@commands.command("import", epilog="Example: streamdialer dnc import numbers.csv --country CO --bad bad.csv")
def import_file(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A number per line, CSV, TSV, XLSX, XML or NDJSON, also in a zip or gzip file; - is standard input.",
        ),
    ],
    country: Country = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="COLUMN", help="A column with numbers: its heading, or its position from 1."
        ),
    ] = None,
    bad: Annotated[Path | None, typer.Option(help="Write every refused line to this CSV file.")] = None,
    registry: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="NAME",
            help="The registry whose answer the file is, such as rne.",
        ),
    ] = "",
    asked: Annotated[
        str, typer.Option(metavar="DATE", help="When that registry was asked, such as 2026-11-26.")
    ] = "",
    is_empty: Annotated[
        bool, typer.Option("--empty", help="With --source: the registry's answer has no numbers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add every number of a file; a second import adds nothing. Exit code 1 when a line is refused.

    With --source and --asked, the query is kept as a record: rule packs say how old it may be.

    A change file (number, date, A or D) adds numbers and takes off those that an import has added.
    """
    from streamdialer.operations.list_file.sheet import EmptyFile, open_sheet

    settings = load_settings(ctx, country=country)
    query = _read_query(registry, asked)
    if is_empty and query is None:
        raise SettingsError("--empty: needs --source and --asked")
    first_bad: list[BadLine] = []
    with ExitStack() as stack:
        try:
            source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            write_bad_line = stack.enter_context(bad_line_writer(bad))
        except OSError as error:
            raise SettingsError(f"{error.filename or file}: {error.strerror or error}") from error

        def on_bad_line(line: BadLine) -> None:
            write_bad_line(line)
            if len(first_bad) < MAX_BAD_LINES:
                first_bad.append(line)

        try:
            sheet = stack.enter_context(open_sheet(source))
        except EmptyFile:
            if query is None:
                raise
            if not is_empty:
                raise CannotBeDone(
                    f"the file has no row with values, so the query of {query.registry} is not recorded: "
                    "say --empty if that is the registry's whole answer"
                ) from None
            run_async(_record_query, settings, query)  # none of the numbers that were asked for is registered
            echo(f"the query of {query.registry} on {asked.strip()} is recorded: no numbers")
            return
        if is_empty:
            raise CannotBeDone(f"--empty: {file} has rows with values; nothing is imported")
        report = stack.enter_context(progress("importing numbers", sheet.size or None))
        result = run_async(
            _import,
            settings,
            sheet,
            columns or [],
            query,
            on_bad_line,
            lambda line: report(sheet.position(line)),
        )
    if as_json:
        print_json({**msgspec.to_builtins(result), "first_bad": first_bad})
    else:
        removed = f", {result.removed} taken off" if result.removed else ""
        echo(f"{result.lines} lines, {result.numbers} numbers, {result.added} new on the list{removed}")
        if result.without_country:
            echo(
                f"{result.without_country} have no + and no --country: they match these digits in any country"
            )
        for line in first_bad:
            echo(f"line {line.line}: {line.problem}: {line.text}")
        if query and not result.bad:
            echo(f"the query of {query.registry} on {asked.strip()} is recorded")
    if result.bad:
        unrecorded = f", so the query of {query.registry} is not recorded" if query else ""
        raise CannotBeDone(
            f"{result.bad} lines are refused{unrecorded}"
            + (f": {bad}" if bad else " (--bad FILE writes them to a file)")
        )


def _read_numbers(ctx: typer.Context, raws: list[str], country: str | None) -> tuple[Settings, list[Number]]:
    """Raises SettingsError for the first text that is not a number."""
    from streamdialer.rules.numbers import read_number

    settings = load_settings(ctx, country=country)
    numbers = [read_number(raw, settings.country) for raw in raws]
    for raw, number in zip(raws, numbers, strict=True):
        if not number.digits:
            raise SettingsError(f"number: got {raw!r}: {number.problem}")
    return settings, numbers


def _read_query(registry: str, asked: str) -> Query | None:
    """Raises SettingsError for one of the two alone, an unknown registry, and a date that is none or is to come."""
    if not registry and not asked:
        return None
    from streamdialer.operations.dnc_import import Query
    from streamdialer.rules.rule_pack import registry_packs

    if registry not in registry_packs():
        raise SettingsError(f"source: got {registry!r}, takes one of {', '.join(sorted(registry_packs()))}")
    try:
        instant = datetime.fromisoformat(asked.strip())
    except ValueError:
        raise SettingsError(f"asked: got {asked!r}, takes a date such as 2026-11-26") from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if instant > datetime.now(UTC):
        raise SettingsError(f"asked: got {asked!r}, takes a date that is not in the future")
    return Query(registry, round(instant.timestamp()))


def _print_statuses(statuses: list[NumberStatus], *, as_json: bool) -> None:
    rows = [
        (status.number, "yes" if status.listed else "no", _instant(status.since_s), status.why)
        for status in statuses
    ]
    print_rows(statuses, ["number", "listed", "since", "why"], rows, as_json=as_json)


def _instant(since_s: int | None) -> str:
    return "" if since_s is None else datetime.fromtimestamp(since_s, UTC).isoformat().replace("+00:00", "Z")


@asynccontextmanager
async def _open_dnc(settings: Settings) -> AsyncIterator[DncLedger]:
    from streamdialer.broker.scripts import Scripts
    from streamdialer.ledger.suppression import DncLedger
    from streamdialer.operations.session import open_client

    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        yield DncLedger(scripts, keys)


async def _look_up(
    settings: Settings, numbers: list[Number], change: Callable[[DncLedger], Awaitable[object]] | None = None
) -> list[NumberStatus]:
    """The numbers' statuses after the change."""
    async with _open_dnc(settings) as dnc:
        if change is not None:
            await change(dnc)
        entries = await dnc.check(numbers)
    return [
        NumberStatus(str(number), listed=False)
        if entry is None
        else NumberStatus(entry.number, True, entry.since_s, entry.why)
        for number, entry in zip(numbers, entries, strict=True)
    ]


async def _list(settings: Settings, as_json: bool) -> None:
    async with _open_dnc(settings) as dnc:
        async for entry in dnc.entries():
            print_text(entry, f"{entry.number}  {_instant(entry.since_s)}  {entry.why}", as_json=as_json)


async def _record_query(settings: Settings, query: Query) -> None:
    async with _open_dnc(settings) as dnc:
        await dnc.record_query(query.registry, query.asked_s, 0)


async def _list_sources(settings: Settings, as_json: bool) -> None:
    from streamdialer.rules.rule_pack import registry_packs

    async with _open_dnc(settings) as dnc:
        queries = {query.registry: query for query in await dnc.queries()}
    rows = []
    for name, packs in sorted(registry_packs().items()):
        query = queries.get(name)
        asked = _instant(query.asked_s) if query else "never"
        imported, numbers = (_instant(query.imported_s), str(query.numbers)) if query else ("", "")
        rows.append((name, asked, imported, numbers, ", ".join(packs)))
    print_rows(
        list(queries.values()),
        ["registry", "asked", "imported", "numbers", "asked for by"],
        rows,
        as_json=as_json,
    )


async def _import(
    settings: Settings,
    sheet: Sheet,
    columns: list[str],
    query: Query | None,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> ImportResult:
    from streamdialer.operations.dnc_import import import_numbers

    async with _open_dnc(settings) as dnc:
        return await import_numbers(
            dnc,
            sheet,
            country=settings.country,
            named=columns,
            query=query,
            on_bad_line=on_bad_line,
            on_progress=on_progress,
        )
