"""The Grafana dashboard asks for metrics and labels that there are, and nothing on it overlaps."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from streamdialer.observability import metrics
from tests.support.promql import PROMTOOL, WITHOUT_PROMTOOL

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "streamdialer.json").read_text("utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
METRICS = {one.name: one for one in metrics.ALL}


def metric(name: str) -> metrics.MetricDoc:
    """The metric that a series belongs to; raises KeyError."""
    return METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]


def test_every_metric_is_shown_and_exists() -> None:
    asked = {name for target in TARGETS for name in re.findall(r"streamdialer_\w+", target["expr"])}
    assert {metric(name).name for name in asked} == set(METRICS)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: re.findall(r"dialer_(\w+)", target["expr"])[0])
def test_labels_exist_and_legends_show_those_that_are_kept(target: dict[str, str]) -> None:
    expression = target["expr"]
    kept = set()
    for labels, name in re.findall(r"by \(([^)]*)\) \((?:rate\()?(streamdialer_\w+)", expression):
        grouped = set(labels.split(", "))
        kept |= grouped
        assert grouped <= {*metric(name).labels, "le"}
    for name, matchers in re.findall(r"(streamdialer_\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)!?="(\w+)"', matchers):
            assert value in (metric(name).labels[label] or {"dial", "ok"})
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept
    assert ("rate(" in expression) == any(
        metric(name).kind != "gauge" for name in re.findall(r"streamdialer_\w+", expression)
    )


def test_panels_stand_side_by_side() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: re.findall(r"dialer_(\w+)", target["expr"])[0])
def test_every_expression_is_promql(target: dict[str, str]) -> None:
    promql_parser.parse(target["expr"].replace("$__rate_interval", "1m"))


@pytest.mark.skipif(PROMTOOL is None, reason=WITHOUT_PROMTOOL)
def test_promtool_reads_every_expression(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for number, target in enumerate(TARGETS)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
