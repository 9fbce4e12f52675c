"""`dead`: entries that could not be handled, and the way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_fields,
    print_json,
    print_rows,
    print_text,
    progress,
    run_async,
)
from streamdialer.errors import CannotBeDone, SettingsError

if TYPE_CHECKING:
    from streamdialer.broker.dead_letters import DeadLetters

T = TypeVar("T")
LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Ids from `dead list`.")]
commands = typer.Typer(
    name="dead",
    no_args_is_help=True,
    help="List, show, replay or drop entries that could not be handled.",
    epilog="Example: streamdialer dead list",
)


@commands.command("list", epilog="Example: streamdialer dead list --count 50")
def list_letters(
    ctx: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest dead letters, newest first."""
    from streamdialer.operations.dead_letters import newest_letters

    letters, total = _with_letters(ctx, lambda letters: newest_letters(letters, count))
    columns = ["id", "stream", "reason", "detail"]
    rows = [(letter.id, letter.stream, letter.reason, letter.detail) for letter in letters]
    print_rows(letters, columns, rows, as_json=as_json)
    if not as_json:
        echo(f"{len(letters)} of {total}")


@commands.command(epilog="Example: streamdialer dead show 1732424242000-0")
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="An id from `dead list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a dead letter and its original entry; phone numbers are masked."""
    from streamdialer.operations.dead_letters import checked_letter_ids, masked_letter

    checked_letter_ids([letter_id])
    letter = masked_letter(_with_letters(ctx, lambda letters: letters.get(letter_id)))
    if as_json:
        print_json(letter)
        return
    fields = ("id", "stream", "entry", "reason", "detail", "deliveries", "cut")
    print_fields((name, getattr(letter, name)) for name in fields)
    print_fields((f"  {name}", value) for name, value in letter.original.items())


@commands.command(epilog="Example: streamdialer dead replay --all")
def replay(
    ctx: typer.Context,
    letter_ids: LetterIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are now, oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back into their streams."""
    from streamdialer.operations.dead_letters import replay_letters, select_letters

    selected = _selected("replay", letter_ids, everything=everything)

    async def work(letters: DeadLetters) -> dict[str, str]:
        letter_ids = await select_letters(letters, selected)
        with progress("replaying", len(letter_ids)) as report:
            return await replay_letters(letters, letter_ids, report)

    replayed = _with_letters(ctx, work)
    if as_json:
        print_json({"replayed": replayed})
    else:
        for letter, entry in replayed.items():
            echo(f"{letter} is now {entry}")
        echo(f"{len(replayed)} replayed")


@commands.command(epilog="Example: streamdialer dead drop 1732424242000-0")
def drop(
    ctx: typer.Context,
    letter_ids: LetterIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are; needs --yes too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm that all are deleted permanently.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters permanently."""
    from streamdialer.operations.dead_letters import drop_letters, select_letters

    selected = _selected("drop", letter_ids, everything=everything)
    if everything and not yes:
        raise SettingsError("dead drop --all: deletes them permanently; add --yes to confirm")

    async def work(letters: DeadLetters) -> int:
        return await drop_letters(letters, await select_letters(letters, selected, must_exist=False))

    dropped = _with_letters(ctx, work)
    print_text({"dropped": dropped}, f"{dropped} dropped", as_json=as_json)
    if selected is not None and dropped < len(selected):
        raise CannotBeDone(f"{len(selected) - dropped} of these dead letters did not exist")


def _selected(command: str, letter_ids: list[str] | None, *, everything: bool) -> list[str] | None:
    """The ids, None for all; raises SettingsError."""
    from streamdialer.operations.dead_letters import checked_letter_ids

    if everything == bool(letter_ids):
        raise SettingsError(f"dead {command}: needs ids or --all")
    return None if everything else checked_letter_ids(letter_ids or [])


def _with_letters(ctx: typer.Context, work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    from streamdialer.operations.dead_letters import open_dead_letters

    settings = load_settings(ctx)

    async def run() -> T:
        async with open_dead_letters(settings) as letters:
            return await work(letters)

    return run_async(run)
