"""What the benchmarks compute from their measurements, and where they put it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bench import performance_page
from bench.capacity_formula import BUSY, Line, line_through, most, replicas_for
from bench.counts.limits import LIMITS, complaints, with_room
from bench.counts.measures import Counts
from streamdialer.errors import CannotBeDone

ROOT = Path(__file__).parents[2]


def test_the_formula_meets_the_points_it_is_made_from_and_says_how_many_replicas() -> None:
    line = line_through((10.0, 0.15), (100.0, 0.60), (10.0, 0.20))
    assert line.at(1, 10.0) == pytest.approx(0.15)
    assert line.at(1, 100.0) == pytest.approx(0.60)
    assert line.at(2, 10.0) == pytest.approx(0.20)
    count = replicas_for(500.0, line)
    assert line.at(count, 500.0) / count <= BUSY < line.at(count - 1, 500.0) / (count - 1)
    assert replicas_for(0.1, line) == 1
    redis = Line(base=0.05, further=0.01, each=0.001)
    carried = most(redis, line)
    assert (
        redis.at(replicas_for(carried, line), carried)
        <= BUSY
        < redis.at(replicas_for(carried + 1, line), carried + 1)
    )


def test_points_that_contradict_each_other_give_no_formula() -> None:
    with pytest.raises(CannotBeDone, match="too busy"):
        line_through((10.0, 0.30), (100.0, 0.20), (10.0, 0.40))


def test_what_is_asked_too_often_and_a_limit_that_keeps_nothing_are_named() -> None:
    right = {
        step: Counts(**{n: 0.9 * v for n, v in msgspec.structs.asdict(c).items()})
        for step, c in LIMITS.items()
    }
    assert complaints(right) == []
    doubled = msgspec.structs.replace(right["event"], ledger_calls=2 * right["event"].ledger_calls)
    (said,) = complaints({**right, "event": doubled})
    assert said.startswith("event: ")
    assert "ledger calls" in said
    cheap = msgspec.structs.replace(right["call"], ledger_calls=1.0, round_trips=0.0)
    (said,) = complaints({**right, "call": cheap})
    assert "lower the limits" in said


def test_a_limit_made_from_counts_lets_them_pass() -> None:
    for counts in LIMITS.values():
        limit = msgspec.structs.asdict(with_room(counts))
        assert all(limit[name] >= count for name, count in msgspec.structs.asdict(counts).items())


def test_each_table_of_a_benchmark_has_its_place_on_the_page() -> None:
    source = "\n".join(file.read_text("utf-8") for file in (ROOT / "bench").rglob("*.py"))
    written = re.findall(r'\bwrite\("(\w+)", ', source)
    page = performance_page.PAGE.read_text("utf-8")
    assert sorted(written) == sorted(re.findall(r"<!-- measured: (\w+) -->", page))


def test_a_table_replaces_the_one_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- measured: x -->\nold\n<!-- end -->\nb\n<!-- measured: y -->\n<!-- end -->\n", "utf-8"
    )
    monkeypatch.setattr(performance_page, "PAGE", page)
    performance_page.write("x", performance_page.table(["what", "count"], [["one", "1"]]))
    text = page.read_text("utf-8")
    assert "old" not in text
    assert "| what | count |\n| --- | --: |\n| one | 1 |\n" in text
    assert text.startswith("a\n")
    assert text.endswith("b\n<!-- measured: y -->\n<!-- end -->\n")
    with pytest.raises(SystemExit, match="no place for z"):
        performance_page.write("z", "")
