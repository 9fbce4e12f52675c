"""The alert rules ask for metrics, labels and values that there are."""

from __future__ import annotations

import re
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from streamdialer.observability import metrics
from tests.support.promql import PROMTOOL, WITHOUT_PROMTOOL

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
METRICS = {one.name: one for one in metrics.ALL}
LABELLED = re.compile(r"(streamdialer_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"by \(([\w, ]+)\) \((?:\w+\()?(streamdialer_\w+)")
REASONS = {"no_call_events"}
"""Of labels whose values are not listed: those that alerts ask for."""


def ids(rule: dict[str, Any]) -> str:
    return str(rule["alert"])


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_every_metric_and_label_of_a_rule_exists(rule: dict[str, Any]) -> None:
    asked = LABELLED.findall(rule["expr"])
    assert asked or rule["expr"] == 'up{job="streamdialer"} == 0'
    for name, matchers in asked:
        one = METRICS[name]
        for label, value in re.findall(r'(\w+)="(\w+)"', matchers):
            assert value in (one.labels[label] or REASONS)
    for labels, name in GROUPED.findall(rule["expr"]):
        assert set(labels.split(", ")) <= set(METRICS[name].labels)


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["expr"].count("(") == rule["expr"].count(")")
    told = chain.from_iterable(re.findall(r"\$labels\.(\w+)", text) for text in rule["annotations"].values())
    kept = set(re.findall(r"by \((\w+)\)", rule["expr"])) | ({"instance"} if "up{" in rule["expr"] else set())
    assert set(told) <= kept, "labels that the expression does not keep are empty in the message"


def test_each_alert_leads_to_its_section_of_the_runbook_and_no_section_is_left_over() -> None:
    runbook = (FOLDER.parents[1] / "docs/runbook.md").read_text("utf-8")
    sections = re.findall(r"^## (Streamdialer\w+)$", runbook, re.MULTILINE)
    assert sorted(sections) == sorted(rule["alert"] for rule in RULES)
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_a_counter_is_asked_for_its_rise_and_a_gauge_for_its_value() -> None:
    for rule in RULES:
        for function, name in re.findall(r"(rate|increase|delta)\((streamdialer_\w+)", rule["expr"]):
            assert (METRICS[name].kind == "gauge") == (function == "delta")
        bare = re.sub(r"(?:rate|increase|delta)\([^)]*\)", "", rule["expr"])
        assert all(METRICS[name].kind == "gauge" for name in re.findall(r"streamdialer_\w+", bare))


def test_rules_are_named_once_and_loaded_by_the_example() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    example = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    assert example["rule_files"] == ["alerts.yml"]
    assert example["scrape_configs"][0]["job_name"] == "streamdialer"


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_every_expression_is_promql(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])


@pytest.mark.parametrize("wrong", ["sum by stage) (x)", "rate(x)", "max(x", "nosuchfunction(x)", "x[5m] > 0"])
def test_the_parser_refuses_what_prometheus_would(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse(wrong)


@pytest.mark.skipif(PROMTOOL is None, reason=WITHOUT_PROMTOOL)
def test_promtool_loads_the_files_and_every_alert_fires() -> None:
    assert PROMTOOL is not None
    trial = Path(__file__).parent / "alerts.cases.yml"
    for command in (["check", "config", str(FOLDER / "prometheus.yml")], ["test", "rules", str(trial)]):
        done = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    fired = set(re.findall(r'alertname="(\w+)"', trial.read_text("utf-8")))
    assert fired == {rule["alert"] for rule in RULES}
