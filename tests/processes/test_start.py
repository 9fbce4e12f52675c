"""`--help` and commands that do little import little. Each runs in a child, which reports what it has imported."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.support.cli import KEYS

HEAVY: Final = {
    "aiohttp",
    "django",
    "holidays",
    "httpx",
    "itsdangerous",
    "jinja2",
    "matplotlib",
    "openpyxl",
    "opentelemetry",
    "phonenumbers",
    "prometheus_client",
    "redis",
    "rest_framework",
    "rich",
    "waitress",
}
CLIENT: Final = {"redis", "opentelemetry"}
"""The client library looks for OpenTelemetry on its own account."""
LEDGER: Final = CLIENT | {"prometheus_client"}
REPORT: Final = """
import json, sys, typer
from streamdialer.cli import app

def run(*words):
    try:
        app([*words])
    except SystemExit as end:
        return [end.code, *{name.partition(".")[0] for name in sys.modules}]

def paths(command, *path):
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, *path, name)

everything = ([*path, "--help"] for path in paths(typer.main.get_command(app)))
reports = {" ".join(words): run(*words) for words in ([sys.argv[1:]] if sys.argv[1:] else everything)}
print(json.dumps(reports), file=sys.stderr)
"""


def heavy_imports(*words: str) -> dict[str, set[str]]:
    """Of the command, or of the `--help` of every command, one after the other."""
    child = subprocess.run([sys.executable, "-c", REPORT, *words], capture_output=True, text=True, check=True)
    reports: dict[str, list[Any]] = json.loads(child.stderr)
    assert {code for code, *_ in reports.values()} == {0}, child.stdout
    return {command: HEAVY.intersection(modules) for command, (_, *modules) in reports.items()}


def test_help_imports_nothing_that_only_work_needs(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGUAGE", "es")  # which takes what English takes, and a catalogue
    loaded = heavy_imports()
    assert {"--help", "consume --help", "demo --help", "dnc check --help"} <= loaded.keys()
    assert set().union(*loaded.values()) == {"rich"}, loaded  # typer draws its help with it


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("config --json", set()),
        ("rules next --pack us-fl --timezone America/New_York", set()),
        ("rules next --pack co --timezone America/Bogota", {"holidays"}),
        ("emit call_answered campaign_id=1 contact_id=1", CLIENT),
        ("result 1-0", CLIENT),
        ("inspect streams --json", CLIENT),
        ("outcomes --json", CLIENT),
        ("campaign list --json", LEDGER),
        ("dnc check +573001234567 --json", {*LEDGER, "phonenumbers"}),
    ],
)
def test_a_light_command_imports_only_what_it_needs(
    db: Any, clean_environment: None, command: str, needed: set[str]
) -> None:
    db.set(KEYS.tick("1-0"), '{"status": "ok", "kind": "dial", "campaign_id": "1"}', ex=60)
    assert heavy_imports(*command.split()) == {command: needed}
