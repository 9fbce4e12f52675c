"""The lines of an imported file that could not be used, as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamdialer.cli.csv_cells import harmless

if TYPE_CHECKING:
    from streamdialer.operations.list_file.text import BadLine

MAX_BAD_LINES: Final = 10
"""Shown on the terminal."""


@contextmanager
def bad_line_writer(path: Path | None) -> Iterator[Callable[[BadLine], None]]:
    if path is None:
        yield lambda _line: None
        return
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "problem", "text"))
        yield lambda line: writer.writerow(harmless((line.line, line.problem, line.text)))
