"""Dead letters for an operator, at the command line and in the dashboard: show, replay, drop."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from streamdialer.broker.dead_letters import DeadLetter, DeadLetters
from streamdialer.broker.scripts import Scripts
from streamdialer.config.settings import Settings
from streamdialer.errors import CannotBeDone, SettingsError
from streamdialer.observability.redaction import mask_field, mask_name, mask_text
from streamdialer.operations.session import open_client

REPLAY_BATCH: Final = 500
LETTER_ID: Final = re.compile("[0-9]{1,19}-[0-9]{1,19}")


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    """Raises Unreachable when Redis does not answer."""
    async with open_client(settings) as (client, keys), Scripts(client, patient=False) as scripts:
        yield DeadLetters(client, scripts, keys)


def checked_letter_ids(letter_ids: list[str]) -> list[str]:
    """Each once; raises SettingsError for text that cannot be a dead letter's id."""
    for letter_id in letter_ids:
        if not LETTER_ID.fullmatch(letter_id):
            raise SettingsError(f"dead letter: got {letter_id!r}, takes an id such as 1732424242000-0")
    return list(dict.fromkeys(letter_ids))


async def newest_letters(
    letters: DeadLetters, count: int, before: str | None = None
) -> tuple[list[DeadLetter], int]:
    """The newest (older than `before`), newest first and masked, and how many there are in all."""
    shown = [masked_letter(letter) for letter in await letters.newest(count, before)]
    return shown, await letters.count()


async def select_letters(
    letters: DeadLetters, chosen: list[str] | None, *, must_exist: bool = True, until: str | None = None
) -> list[str]:
    """The ids of the chosen dead letters; of all up to `until`, oldest first, when `chosen` is None.

    Raises CannotBeDone when a chosen one does not exist, unless `must_exist` is false.
    """
    if chosen is None:
        return await letters.ids(until)
    if must_exist:
        for letter_id in chosen:
            await letters.get(letter_id)
    return chosen


async def replay_letters(
    letters: DeadLetters, letter_ids: list[str], on_progress: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    """Puts each back into its stream: dead letter -> its new entry. Calls `on_progress` with how many are done.

    Raises CannotBeDone at one that no longer exists, and says how many were put back before it.
    """
    replayed: dict[str, str] = {}
    for letter_id in letter_ids:
        try:
            replayed[letter_id] = await letters.replay(letter_id)
        except CannotBeDone as error:
            if not replayed:
                raise
            raise CannotBeDone(f"{error}; {len(replayed)} before it were put back") from error
        on_progress(len(replayed))
    return replayed


async def drop_letters(letters: DeadLetters, letter_ids: list[str]) -> int:
    """Deletes them; returns how many there were."""
    return sum(
        [
            await letters.drop(letter_ids[at : at + REPLAY_BATCH])
            for at in range(0, len(letter_ids), REPLAY_BATCH)
        ]
    )


def masked_letter(letter: DeadLetter) -> DeadLetter:
    """The dead letter with phone numbers masked."""
    shown = {mask_name(name): mask_field(name, value) for name, value in letter.original.items()}
    return msgspec.structs.replace(letter, original=shown, detail=mask_text(letter.detail))
