"""The simulate command: tables, JSON, plots, and errors in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamdialer.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *arguments])


@pytest.mark.long
def test_a_policy_is_shown_beside_the_bounds() -> None:
    result = run("small_team", "--policy", "fixed", "--hours", "0.2", "--seeds", "2")
    assert result.exit_code == 0, result.output
    title, head, *rows = result.stdout.splitlines()
    assert title == "five agents: 5 agents, 2 days of 0.2 hours"
    assert head.split()[:2] == ["policy", "occupancy"]
    assert [row.split()[0] for row in rows] == ["fixed", "oracle_rates", "oracle_agents"]


@pytest.mark.long
def test_json_has_the_scenario_the_estimates_and_the_minutes_of_one_day() -> None:
    options = ("--agents", "4", "--answer-rate", "0.5", "--hours", "0.2", "--seeds", "2", "--json")
    result = run("--policy", "ticks:mode=power,ratio=2", *options)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["scenario"]["agents"] == 4
    assert document["scenario"]["calls"]["human"] == 0.5
    ticks = document["policies"][0]
    names = [policy["policy"] for policy in document["policies"]]
    assert names == ["ticks:mode=power,ratio=2", "oracle_rates", "oracle_agents"]
    assert 0 < ticks["occupancy"]["mean"] < 1
    assert ticks["occupancy"]["half_width"] > 0
    assert [len(day["minutes"]) for day in ticks["days"]] == [12, 0]


def test_compare_shows_all_policies() -> None:
    result = run("small_team", "--compare", "--hours", "0.05", "--seeds", "1", "--json")
    assert result.exit_code == 0, result.output
    names = [policy["policy"].partition(":")[0] for policy in json.loads(result.stdout)["policies"]]
    assert set(names) == {
        "adaptive",
        "fixed",
        "ticks",
        "vicidial",
        "omnidialer",
        "impact_dialing",
        "issabel",
        "oracle_rates",
        "oracle_agents",
        "oracle_full",
    }


def test_a_scenario_file_of_your_own_is_read(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('title = "mine"\nagents = 2\nhours = 0.1\n')
    result = run(str(mine), "--policy", "fixed", "--seeds", "1")
    assert result.stdout.startswith("mine: 2 agents, 1 day of 0.1 hours")


def test_the_shipped_scenarios_are_listed() -> None:
    assert "agents_leave" in run("--list").stdout
    assert json.loads(run("--list", "--json").stdout)["small_team"] == "five agents"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "scenario 'nowhere': takes a file that ends in .toml, or one of"),
        (("nowhere.toml",), "scenario nowhere.toml: cannot be read"),
        (("--policy", "clever"), "policy: got 'clever', takes one of"),
        (("--answer-rate", "0.9"), "--answer-rate: got 0.9, takes at most 0.65"),
    ],
)
def test_an_error_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments, "--hours", "0.1")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.long
def test_a_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "day.png"
    result = run("small_team", "--hours", "0.2", "--seeds", "2", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    unknown = run("small_team", "--hours", "0.05", "--seeds", "1", "--plot", str(tmp_path / "day.doc"))
    assert unknown.exit_code == 1
    assert "day.doc: Format 'doc' is not supported" in unknown.stderr


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("--plot", str(tmp_path / "day.png"))
    assert result.exit_code == 1
    assert "pip install 'streamdialer[plot]'" in result.stderr
