"""What the documents show is what the code has."""

from __future__ import annotations

import html
import re
from pathlib import Path

from bench.pacing_figure import FIGURE, PAGE, described, draw, read_table
from bench.pacing_table import table
from streamdialer.cli.simulate import BOUNDS, COMPARED_POLICIES
from streamdialer.consumers.dialing.reasons import LIMITS, NOTICES, REASONS, SKIPPED, table_of
from streamdialer.rules.rule_pack import read_pack

DOCS = Path(__file__).parents[2] / "docs"


def test_every_cause_is_in_the_table() -> None:
    told = (DOCS / "explain.md").read_text("utf-8")
    for causes in (NOTICES, REASONS, LIMITS, SKIPPED):
        assert "\n".join(table_of(causes)) in told


def test_the_benchmark_has_a_row_for_every_policy_that_is_compared() -> None:
    rows = re.findall(
        r"^\| `([\w:=,]+)` \| [*\d]", (DOCS / "pacing-benchmark.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted({*COMPARED_POLICIES, *BOUNDS})


def test_the_table_of_the_benchmark_is_made_from_what_simulate_writes() -> None:
    def day(agents: int, within_cap: float) -> dict[str, object]:
        rule = {"policy": "fixed", "within_cap": within_cap}
        rule |= {"occupancy": {"mean": 0.725}, "abandon_rate": {"mean": 0.0312}}
        return {"scenario": {"agents": agents}, "policies": [rule]}

    rows = table([day(50, 0.75), day(5, 1.0)]).splitlines()
    assert rows == ["| agents | 5 | 50 |", "| --- | --- | --- |", "| `fixed` | **72.5** (3.1) | 72.5 (3.1) |"]


def test_the_figure_of_the_benchmark_is_drawn_from_its_table(tmp_path: Path) -> None:
    drawn = read_table(PAGE.read_text("utf-8"))
    assert html.escape(described(drawn), quote=False) in FIGURE.read_text("utf-8"), (
        "run `python -m bench.pacing_figure`"
    )
    assert "adaptive (ours): 77.5 % with 5 agents, 83.1 % with 10 agents" in described(drawn)
    assert "OMniDialer's: 73.6 % with 5 agents (too many abandoned)" in described(drawn)
    draw(drawn, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").stat().st_size > 10_000


def test_the_pack_of_the_documentation_is_one() -> None:
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    pack = read_pack("somewhere", text.partition("```toml\n")[2].partition("```")[0])
    assert all(
        (pack.hours, pack.attempt_caps, pack.contact_caps, pack.min_gap, pack.abandon_cooloff, pack.duties)
    )
