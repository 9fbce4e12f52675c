"""Tables of docs/performance.md: each stands between two comments, and the command that measures it writes it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown; all columns but the first are numbers."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(name: str, text: str) -> None:
    """Between the comments of this name."""
    page = PAGE.read_text("utf-8")
    place = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(page):
        raise SystemExit(f"{PAGE.name} has no place for {name}: <!-- measured: {name} --> … <!-- end -->")
    PAGE.write_text(place.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page), "utf-8")


def median_and_spread(values: Sequence[float], form: str = ",.0f") -> str:
    """The median, and in brackets the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"
