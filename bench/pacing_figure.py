"""Draws the table of docs/pacing-benchmark.md into docs/pacing/team_size.svg: `python -m bench.pacing_figure`.

A line per policy: occupancy by team size. A dot is filled where every simulated day stayed within the cap.
"""

from __future__ import annotations

import re
import sys
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "pacing-benchmark.md"
FIGURE: Final = DOCS / "pacing/team_size.svg"
SHOWN: Final = {
    "oracle_agents": "knows when each agent will be free (bound)",
    "adaptive": "adaptive (ours)",
    "impact_dialing": "Impact Dialing's replay",
    "omnidialer": "OMniDialer's",
    "issabel:overcommit=yes": "Issabel's Erlang, overcommit",
    "vicidial:method=average": "VICIdial's, by the average",
    "fixed:mode=power,ratio=2": "2 calls per free agent",
    "fixed": "1 call per free agent",
    "ticks": "1 per free agent, every 10 s",
}
"""The policies that are drawn, and their names in the figure; the page has them all."""
COLOURS: Final = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#666666",
    "#999999",
)
"""Okabe and Ito's, which colour-blind readers can tell apart; each policy has a marker of its own as well."""
MARKERS: Final = "so^vD<>PX"


class Cell(NamedTuple):
    agents: int
    occupancy: float
    is_within_cap: bool


def read_table(page: str) -> dict[str, list[Cell]]:
    """The cells of each policy; one that was not simulated is left out."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"
    ]
    heads = next(row for row in rows if row[0] == "agents")
    sizes = [int(head) for head in heads[1:]]
    table = {}
    for name, *cells in rows[rows.index(heads) + 2 :]:
        found = [re.match(r"(\*\*)?([\d.]+)", cell) for cell in cells]
        table[name.strip("`")] = [
            Cell(size, float(match[2]), match[1] is not None)
            for size, match in zip(sizes, found, strict=True)
            if match
        ]
    return table


def draw(table: dict[str, list[Cell]], path: Path) -> None:
    """Writes the figure; the same table gives the same file."""
    mpl.rcParams["svg.hashsalt"] = "streamdialer"
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    for (policy, name), colour, marker in zip(SHOWN.items(), COLOURS, cycle(MARKERS)):
        cells = table[policy]
        axes.plot(
            [cell.agents for cell in cells], [cell.occupancy for cell in cells], color=colour, linewidth=1.2
        )
        for is_within_cap in (True, False):
            dots = [cell for cell in cells if cell.is_within_cap is is_within_cap]
            axes.plot(
                [cell.agents for cell in dots],
                [cell.occupancy for cell in dots],
                marker,
                color=colour,
                markerfacecolor=colour if is_within_cap else "white",
            )
        axes.plot([], [], color=colour, marker=marker, label=name)
    sizes = [cell.agents for cell in table["adaptive"]]
    axes.set_xscale("log")
    axes.set_xticks(sizes, map(str, sizes))
    axes.minorticks_off()
    axes.set_xlabel("agents of the team")
    axes.set_ylabel("occupancy, % of logged-in time")
    axes.set_title("Filled: at most 3 % abandoned on every day. Hollow: more on some day.", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None, "Creator": None, "Description": described(table)})


def described(table: dict[str, list[Cell]]) -> str:
    """What the figure shows, in words for those who cannot see it."""
    sentences = []
    for policy, name in SHOWN.items():
        points = [
            f"{cell.occupancy} % with {cell.agents} agents{'' if cell.is_within_cap else ' (too many abandoned)'}"
            for cell in table[policy]
        ]
        sentences.append(f"{name}: {', '.join(points)}.")
    return " ".join(sentences)


def main() -> None:
    """Draws the page's table."""
    draw(read_table(PAGE.read_text("utf-8")), FIGURE)
    sys.stdout.write(f"{FIGURE}\n")


if __name__ == "__main__":
    main()
