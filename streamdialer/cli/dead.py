"""`dead`: entries nobody could handle, and the way back."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from streamdialer.broker import DeadLetter
from streamdialer.cli.common import (
    AsJson,
    echo,
    load_settings,
    print_fields,
    print_json,
    print_table,
    progress,
)
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.operations.dead_letters import (
    checked_letter_ids,
    drop_letters,
    masked_letter,
    newest_letters,
    open_dead_letters,
    replay_letters,
    wanted_letters,
)

LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Ids as `dead list` shows them.")]
commands = typer.Typer(
    no_args_is_help=True,
    help="List, show, replay or drop entries that nobody could handle.",
    epilog="Example: streamdialer dead list",
)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.add_typer(commands, name="dead")


@commands.command("list", epilog="Example: streamdialer dead list --count 50")
def list_letters(
    ctx: typer.Context,
    count: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters, newest first."""
    letters, there_are = anyio.run(_newest, load_settings(ctx), count)
    if as_json:
        print_json(letters)
        return
    print_table(
        ["id", "stream", "reason", "detail"],
        [(letter.id, letter.stream, letter.reason, letter.detail) for letter in letters],
    )
    echo(f"{len(letters)} of {there_are}")


@commands.command(epilog="Example: streamdialer dead show 1732424242000-0")
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Its id as `dead list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """One dead letter, with the original entry; phone numbers are masked."""
    [checked] = checked_letter_ids([letter_id])
    letter = anyio.run(_get, load_settings(ctx), checked)
    if as_json:
        print_json(letter)
        return
    fields = ("id", "stream", "entry", "reason", "detail", "deliveries")
    print_fields((name, getattr(letter, name)) for name in fields)
    print_fields((f"  {name}", value) for name, value in letter.original.items())


@commands.command(epilog="Example: streamdialer dead replay --all")
def replay(
    ctx: typer.Context,
    letter_ids: LetterIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are now, oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put the originals back into their streams."""
    chosen = _chosen("replay", letter_ids, everything=everything)
    replayed = anyio.run(_replay, load_settings(ctx), chosen)
    if as_json:
        print_json({"replayed": replayed})
    else:
        for letter, entry in replayed.items():
            echo(f"{letter} is {entry} now")
        echo(f"{len(replayed)} replayed")


@commands.command(epilog="Example: streamdialer dead drop 1732424242000-0")
def drop(
    ctx: typer.Context,
    letter_ids: LetterIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are; takes --yes, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="They are gone for good, and that is meant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good."""
    chosen = _chosen("drop", letter_ids, everything=everything)
    if everything and not yes:
        raise SettingsError("dead drop --all: deletes them for good; say --yes if that is meant")
    dropped = anyio.run(_drop, load_settings(ctx), chosen)
    if as_json:
        print_json({"dropped": dropped})
    else:
        echo(f"{dropped} dropped")
    if chosen is not None and dropped < len(chosen):
        raise CannotBeDone(f"{len(chosen) - dropped} of these dead letters did not exist")


def _chosen(command: str, letter_ids: list[str] | None, *, everything: bool) -> list[str] | None:
    """The ids given; None for all."""
    if everything == bool(letter_ids):
        raise SettingsError(f"dead {command}: takes ids, or --all")
    return None if everything else checked_letter_ids(letter_ids or [])


async def _newest(settings: Settings, count: int) -> tuple[list[DeadLetter], int]:
    async with open_dead_letters(settings) as letters:
        return await newest_letters(letters, count)


async def _get(settings: Settings, letter_id: str) -> DeadLetter:
    async with open_dead_letters(settings) as letters:
        return masked_letter(await letters.get(letter_id))


async def _replay(settings: Settings, chosen: list[str] | None) -> dict[str, str]:
    """Dead letter -> its new entry."""
    async with open_dead_letters(settings) as letters:
        wanted = await wanted_letters(letters, chosen)
        with progress("replaying", len(wanted)) as note:
            return await replay_letters(letters, wanted, note)


async def _drop(settings: Settings, chosen: list[str] | None) -> int:
    async with open_dead_letters(settings) as letters:
        return await drop_letters(letters, await wanted_letters(letters, chosen, must_exist=False))
