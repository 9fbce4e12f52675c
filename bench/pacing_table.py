"""The table of docs/pacing-benchmark.md, from files of `simulate --json`: `python -m bench.pacing_table *.json`.

A row per policy, a column per number of agents; files of one number of agents add up to one column.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec


def table(documents: list[dict[str, Any]]) -> str:
    """Markdown: occupancy %, bold where every day stayed within the cap, and the abandon rate %."""
    cells: dict[str, dict[int, str]] = {}
    for document in documents:
        for policy in document["policies"]:
            occupancy = f"{100 * policy['occupancy']['mean']:.1f}"
            shown = f"**{occupancy}**" if policy["within_cap"] == 1 else occupancy
            row = cells.setdefault(policy["policy"], {})
            row[document["scenario"]["agents"]] = f"{shown} ({100 * policy['abandon_rate']['mean']:.1f})"
    sizes = sorted({size for row in cells.values() for size in row})
    lines = [
        ["agents", *map(str, sizes)],
        ["---"] * (len(sizes) + 1),
        *([f"`{policy}`", *(row.get(size, "") for size in sizes)] for policy, row in cells.items()),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Reads the files that are named."""
    documents = [msgspec.json.decode(Path(name).read_bytes()) for name in sys.argv[1:]]
    sys.stdout.write(table(documents) + "\n")


if __name__ == "__main__":
    main()
