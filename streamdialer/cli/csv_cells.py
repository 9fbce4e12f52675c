"""Cells of CSV files for people, who open them with a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterable


def harmless(cells: Iterable[object]) -> list[str]:
    """Cells that no spreadsheet takes for a formula; a number stays as it is, and None is an empty cell."""
    texts = ("" if cell is None else str(cell) for cell in cells)
    return [f"'{text}" if re.match(r"[=+@\t\r\n-](?![\d.]+\Z)", text) else text for text in texts]
