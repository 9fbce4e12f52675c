"""Sends the contacts of a file to the backend, in batches, while the file is read on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.to_thread import run_sync

from streamdialer.errors import StreamdialerError, Unreachable
from streamdialer.gateways.own_backend import BatchResult, OwnBackend
from streamdialer.operations.list_file.contacts import FileContact, FileReader
from streamdialer.operations.list_file.sheet import Sheet
from streamdialer.operations.list_file.text import BadLine

BATCH: Final = 2000
TRIES: Final = 4
PAUSE_S: Final = 2.0


class ImportReport(msgspec.Struct, kw_only=True):
    lines: int = 0
    added: int = 0
    duplicates: int = 0
    """Numbers that stand in the file before, or that the campaign has already."""
    bad: int = 0
    defaulted: dict[str, int] = {}
    """Values that could not be read and have their default, by field."""


class _Batch(msgspec.Struct):
    lines: list[int]
    contacts: list[FileContact]
    read: int
    """Lines read so far."""


async def import_contacts(
    backend: OwnBackend,
    campaign: str,
    name: str,
    sheet: Sheet,
    reader: FileReader,
    *,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> ImportReport:
    """Adds every contact of the sheet; a second import of the same file adds nothing. `on_progress` gets lines read.

    Raises CannotBeDone, or Unreachable: what it has sent by then stays, and the same import can be repeated.
    """
    report = ImportReport()

    def count_bad_line(line: BadLine) -> None:
        report.bad += 1
        on_bad_line(line)

    list_id = await backend.create_list(campaign, name)
    batches = _batches(sheet, reader, count_bad_line)
    send, receive = anyio.create_memory_object_stream[_Batch](2)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, batches, send)
            await _deliver(backend, list_id, receive, report, count_bad_line, on_progress)
    except* StreamdialerError as group:
        raise _first(group) from group
    report.defaulted = {field: count for field, count in reader.defaulted.items() if count}
    result = await backend.finish_list(list_id, lines=report.lines, bad=report.bad)
    report.added, report.duplicates = result.added, result.duplicates
    return report


def _batches(sheet: Sheet, reader: FileReader, on_bad_line: Callable[[BadLine], None]) -> Iterator[_Batch]:
    batch, read = _Batch([], [], 0), 0
    for line, contact in reader.contacts(sheet):
        read += 1
        if isinstance(contact, BadLine):
            on_bad_line(contact)
            continue
        batch.lines.append(line)
        batch.contacts.append(contact)
        if len(batch.contacts) == BATCH:
            batch.read = read
            yield batch
            batch = _Batch([], [], 0)
    batch.read = read
    yield batch


async def _read(batches: Iterator[_Batch], send: MemoryObjectSendStream[_Batch]) -> None:
    """The file is read in a thread, so that requests are answered meanwhile."""
    async with send:
        while (batch := await run_sync(next, batches, None)) is not None:
            await send.send(batch)


async def _deliver(
    backend: OwnBackend,
    list_id: int,
    receive: MemoryObjectReceiveStream[_Batch],
    report: ImportReport,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int], None],
) -> None:
    async with receive:
        async for batch in receive:
            if batch.contacts:
                result = await _patiently(backend, list_id, msgspec.json.encode(batch.contacts))
                for refused in result.refused:
                    contact = batch.contacts[refused.row]
                    on_bad_line(BadLine(batch.lines[refused.row], refused.problem, contact.phone_number))
            report.lines = batch.read
            on_progress(batch.read)


async def _patiently(backend: OwnBackend, list_id: int, batch: bytes) -> BatchResult:
    """Sends a batch again that got no answer: what it had added by then is not added twice."""
    for left in reversed(range(TRIES)):
        try:
            return await backend.add_contacts(list_id, batch)
        except Unreachable:
            if not left:
                raise
            await anyio.sleep(PAUSE_S)
    raise AssertionError("unreachable: the last try raises")


def _first(group: BaseExceptionGroup) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
